use std::time::Duration;

use stentor_hub::{Hub, Start};

use crate::stage::{Client, Stage};

const ROOM: usize = 1 << 20;
/// 15 s and a fifth.
const SILENCE_MAX: Duration = Duration::from_secs(19);

#[test]
fn silent_readers_get_a_comment_after_15_seconds_give_or_take_a_fifth() {
    let mut stage = Stage::new(Hub::memory());
    let clients: Vec<_> = (0..300).map(|_| stage.join("news", Start::Now, ROOM)).collect();
    stage.settle();
    let before: Vec<_> = clients.iter().map(Client::body).collect();
    stage.pass(Duration::from_secs(11));
    assert!(clients.iter().zip(&before).all(|(client, before)| client.body() == *before));
    stage.pass(Duration::from_secs(8));
    for (client, before) in clients.iter().zip(&before) {
        assert_eq!(client.body().strip_prefix(before), Some(": stentor\n\n"));
    }
}

#[test]
fn readers_who_passed_events_of_others_are_told_their_new_position_once() {
    let mut stage = Stage::new(Hub::memory());
    let client = stage.join("news", Start::Now, ROOM);
    stage.settle();
    let before = client.body();
    stage.publish("other", "x");
    let position = stage.stentor.hub().tail();
    stage.pass(SILENCE_MAX);
    let told = format!("id: {position}\nevent: stentor.cursor\ndata: \n\n");
    assert_eq!(client.body().strip_prefix(&before), Some(&*told));
    stage.pass(SILENCE_MAX);
    let told = format!("{told}: stentor\n\n");
    assert_eq!(client.body().strip_prefix(&before), Some(&*told));
}

#[test]
fn readers_who_are_told_something_need_no_sign_of_life() {
    let mut stage = Stage::new(Hub::memory());
    let client = stage.join("news", Start::Now, ROOM);
    stage.settle();
    let opening = client.body().matches(": stentor").count();
    for _ in 0..60 {
        stage.publish("news", "x");
        stage.pass(Duration::from_secs(1));
    }
    assert_eq!(client.body().matches(": stentor").count(), opening);
    assert_eq!(client.events().len(), 60);
}

#[test]
fn a_reader_who_takes_the_place_of_one_that_left_gets_its_first_sign_of_life_no_earlier() {
    let mut stage = Stage::new(Hub::memory());
    let first = stage.join("news", Start::Now, ROOM);
    stage.pass(Duration::from_secs(11));
    stage.hear(&first, None);
    let second = stage.join("news", Start::Now, ROOM);
    stage.settle();
    let before = second.body();
    stage.pass(Duration::from_secs(11));
    assert_eq!(second.body(), before);
    stage.pass(Duration::from_secs(8));
    assert_eq!(second.body().strip_prefix(&before), Some(": stentor\n\n"));
}

#[test]
fn a_reader_of_a_quiet_topic_loses_nothing_while_others_fill_the_window_many_times() {
    let mut stage = Stage::new(Hub::with_window(stentor_hub::MemoryStorage::new(), 64 << 10));
    let clients: Vec<_> = (0..10).map(|_| stage.join("quiet", Start::Now, ROOM)).collect();
    stage.settle();
    for _ in 0..500 {
        stage.publish("loud", &"x".repeat(1_000));
    }
    stage.publish("quiet", "at last");
    stage.settle();
    for client in &clients {
        assert_eq!(client.events(), ["at last"]);
        assert!(!client.has().contains("stentor.gap"), "{}", client.has());
    }
}
