//! Keep-alives.

use std::time::Duration;

use stentor_hub::{Hub, Start};
use stentor_server::{Config, Stentor};

use crate::stage::{Client, Stage};

const ROOM: usize = 1 << 20;
/// 15 s plus 20 %, and one step of the clock.
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
        assert_eq!(client.body().strip_prefix(before), Some(": stentor\n"));
    }
}

#[test]
fn keep_alives_can_be_as_rare_as_one_likes() {
    for keep_alive in [Duration::from_hours(24 * 365 * 1_000), Duration::MAX] {
        let config = Config { keep_alive, ..Config::default() };
        let mut stage = Stage::of(Stentor::with_config(Hub::memory(), config));
        let live = stage.join("news", Start::Now, ROOM);
        let behind = stage.join("news", Start::Earliest, 400);
        stage.settle();
        let before = live.body();
        stage.publish("news", "first");
        stage.pass(Duration::from_mins(5));
        assert_eq!(live.events(), ["first"]);
        assert_eq!(live.body().matches(": stentor").count(), before.matches(": stentor").count());
        // The memory of groups is freed as well.
        stage.receive(&live, None);
        stage.receive(&behind, None);
        stage.pass(Duration::from_mins(3));
        assert_eq!(stage.metric("reader_bytes"), 0, "{keep_alive:?}");
    }
}

#[test]
fn readers_that_other_events_have_passed_get_their_new_position_once() {
    let mut stage = Stage::new(Hub::memory());
    let client = stage.join("news", Start::Now, ROOM);
    stage.settle();
    let before = client.body();
    stage.publish("other", "x");
    let position = stage.stentor.hub().tail();
    stage.pass(SILENCE_MAX);
    let expected = format!("id: {position}\nevent: stentor.cursor\ndata: \n\n");
    assert_eq!(client.body().strip_prefix(&before), Some(&*expected));
    stage.pass(SILENCE_MAX);
    let expected = format!("{expected}: stentor\n");
    assert_eq!(client.body().strip_prefix(&before), Some(&*expected));
}

#[test]
fn readers_that_get_events_get_no_keep_alive() {
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
fn a_reader_of_a_restarted_group_gets_its_first_keep_alive_no_earlier() {
    let mut stage = Stage::new(Hub::memory());
    let first = stage.join("news", Start::Now, ROOM);
    stage.pass(Duration::from_secs(11));
    stage.receive(&first, None);
    let second = stage.join("news", Start::Now, ROOM);
    stage.settle();
    let before = second.body();
    stage.pass(Duration::from_secs(11));
    assert_eq!(second.body(), before);
    stage.pass(Duration::from_secs(8));
    assert_eq!(second.body().strip_prefix(&before), Some(": stentor\n"));
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
