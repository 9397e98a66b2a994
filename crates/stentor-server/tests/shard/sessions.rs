//! Sessions: streams that are closed at an expiry or by their key.

use std::time::Duration;

use stentor_hub::{Hub, Start};
use stentor_server::Session;

use crate::stage::{Client, Stage};

const ROOM: usize = 1 << 20;
const MINUTE: Duration = Duration::from_mins(1);

/// Asserts that a stream has ended cleanly, and that its last message asks the reader to reconnect.
fn assert_asked_to_reconnect(client: &Client) {
    assert!(client.is_finished() && client.has().ends_with("0\r\n\r\n"), "{}", client.has());
    let body = client.body();
    let last = body.trim_end().rsplit('\n').next().unwrap();
    assert!(last.starts_with("retry: "), "{body}");
}

#[test]
fn a_stream_ends_with_a_retry_when_its_session_expires() {
    let mut stage = Stage::new(Hub::memory());
    let expiring = stage.join_with("news", Start::Now, ROOM, Session::new().expiring_in(MINUTE));
    let other = stage.join("news", Start::Now, ROOM);
    stage.publish("news", "before");
    stage.pass(Duration::from_secs(59));
    assert!(!expiring.is_finished());
    stage.pass(Duration::from_secs(2));
    assert_asked_to_reconnect(&expiring);
    stage.publish("news", "after");
    stage.settle();
    assert_eq!(expiring.events(), ["before"]);
    assert_eq!(other.events(), ["before", "after"]);
    assert_eq!(stage.metric("streams_open"), 1);
}

#[test]
fn sessions_expire_in_their_order_and_each_once() {
    let mut stage = Stage::new(Hub::memory());
    let lifetimes = [300, 20, 100, 20, 3_600];
    let clients = lifetimes.map(|seconds| {
        let session = Session::new().expiring_in(Duration::from_secs(seconds));
        stage.join_with("news", Start::Now, ROOM, session)
    });
    stage.settle();
    for passed in [10, 30, 110, 310, 4_000_u64] {
        let start = stage.now;
        let until = stage.start + Duration::from_secs(passed);
        stage.pass(until - start);
        for (client, lifetime) in clients.iter().zip(lifetimes) {
            assert_eq!(client.is_finished(), lifetime < passed, "{lifetime} s after {passed} s");
        }
    }
    clients.iter().for_each(assert_asked_to_reconnect);
}

#[test]
fn many_sessions_that_expire_at_once_are_all_closed() {
    let mut stage = Stage::new(Hub::memory());
    let clients: Vec<_> = (0..1_000)
        .map(|_| stage.join_with("news", Start::Now, ROOM, Session::new().expiring_in(MINUTE)))
        .collect();
    stage.pass(MINUTE + Duration::from_secs(5));
    clients.iter().for_each(assert_asked_to_reconnect);
    assert_eq!(stage.metric("streams_open"), 0);
}

#[test]
fn closing_a_key_ends_all_its_streams_and_no_others() {
    let mut stage = Stage::new(Hub::memory());
    let ann = Session::new().with_key("ann");
    let live = stage.join_with("news", Start::Now, ROOM, ann.clone());
    let elsewhere = stage.join_with("chat/**", Start::Now, ROOM, ann.clone());
    let stuck = stage.join_with("news", Start::Now, 900, ann.clone());
    let ben = stage.join_with("news", Start::Now, ROOM, Session::new().with_key("ben"));
    let anonymous = stage.join("news", Start::Now, ROOM);
    stage.settle();
    stage.publish("news", &"x".repeat(2_000));
    stage.settle();
    stage.close_streams("ann");
    stage.publish("news", "secret");
    stage.settle();
    assert_asked_to_reconnect(&live);
    assert_asked_to_reconnect(&elsewhere);
    assert!(!stuck.is_finished(), "the event in progress is completed first");
    stage.make_room(&stuck, ROOM);
    stage.settle();
    assert_asked_to_reconnect(&stuck);
    for client in [&live, &stuck] {
        assert_eq!(client.events(), ["x".repeat(2_000)]);
    }
    for client in [&ben, &anonymous] {
        assert_eq!(client.events().last().unwrap(), "secret");
        assert!(!client.is_finished());
    }
    assert_eq!(stage.metric("streams_open"), 2);
}

#[test]
fn a_response_that_no_shard_has_yet_is_closed_by_its_key_too() {
    let mut stage = Stage::new(Hub::memory());
    let response = stage.response("news", Start::Now, Session::new().with_key("ann"));
    stage.close_streams("ann");
    let client = stage.adopt(response, ROOM);
    let later = stage.join_with("news", Start::Now, ROOM, Session::new().with_key("ann"));
    stage.publish("news", "secret");
    stage.settle();
    assert_asked_to_reconnect(&client);
    assert!(client.events().is_empty(), "{}", client.body());
    assert_eq!(later.events(), ["secret"], "opened after the key was closed");
}

#[test]
fn a_session_that_has_expired_before_its_stream_began_ends_it_at_once() {
    let mut stage = Stage::new(Hub::memory());
    let expired = Session::new().expiring_at(stage.now);
    let client = stage.join_with("news", Start::Now, ROOM, expired);
    stage.pass(Duration::from_secs(1));
    assert_asked_to_reconnect(&client);
}

#[test]
fn a_reader_in_the_slot_of_one_with_a_session_is_not_closed_with_it() {
    let mut stage = Stage::new(Hub::memory());
    let session = Session::new().with_key("ann").expiring_in(MINUTE);
    let first = stage.join_with("news", Start::Now, ROOM, session);
    stage.settle();
    stage.receive(&first, None);
    assert!(first.has_left());
    let second = stage.join("news", Start::Now, ROOM);
    stage.settle();
    stage.close_streams("ann");
    stage.pass(2 * MINUTE);
    assert!(!second.is_finished());
}

#[test]
fn no_later_event_reaches_any_of_many_streams_whose_key_was_closed() {
    let mut stage = Stage::new(Hub::memory());
    let session = Session::new().with_key("ann");
    let clients: Vec<_> =
        (0..1_000).map(|_| stage.join_with("news", Start::Now, ROOM, session.clone())).collect();
    stage.settle();
    stage.close_streams("ann");
    let later = stage.join_with("news", Start::Now, ROOM, session);
    stage.publish("news", "secret");
    stage.settle();
    for client in &clients {
        assert_asked_to_reconnect(client);
        assert_eq!(client.events(), [""; 0]);
    }
    assert!(!later.is_finished(), "it was opened after the close");
}
