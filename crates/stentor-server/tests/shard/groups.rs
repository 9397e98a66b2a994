//! Readers that share a live group.

use std::time::Duration;

use stentor_hub::{Hub, Start};

use crate::stage::{Client, Stage};

const ROOM: usize = 1 << 20;

/// A group draws its keep-alive interval at random and sends the comment to all of its readers at once. Two groups
/// would have equal intervals only by chance: here in about one of 25 pairs.
#[test]
fn readers_of_the_same_filters_in_another_order_share_a_group() {
    let mut stage = Stage::new(Hub::memory());
    let pairs: Vec<_> = (0..5)
        .map(|number| {
            let (a, b, c) = (format!("a{number}"), format!("b{number}"), format!("c{number}/*"));
            let one = stage.join(&format!("{a},{b},{c}"), Start::Now, ROOM);
            let other = stage.join(&format!("{c},{b},{a},{b}"), Start::Now, ROOM);
            (one, other)
        })
        .collect();
    stage.settle();
    let comments = |client: &Client| client.body().matches(": stentor\n").count();
    for _ in 0..80 {
        stage.pass(Duration::from_millis(250));
        for (one, other) in &pairs {
            assert_eq!(comments(one), comments(other));
        }
    }
    assert!(pairs.iter().all(|(one, _)| comments(one) >= 2), "each got a keep-alive");
}
