//! Servers that have their readers come back again and again.

use std::time::Duration;

use stentor_client::reconnect::Backoff;
use stentor_client::{EventSource, EventSourceError, State};
use tokio::time::Instant;

use crate::support::{Server, answer, stream};
use crate::{fatal_error, quick, until_waiting};

/// How long a source waits after each of these answers, and as which attempt. Each wait is cut short.
async fn waits(
    source: &mut EventSource,
    server: &Server,
    answers: &[String],
) -> Vec<(Duration, u32)> {
    let mut waits = Vec::new();
    for answer in answers {
        let before = Instant::now();
        let (_, (until, _)) = tokio::join!(server.answer([answer]), until_waiting(source));
        let State::Waiting { attempt, .. } = source.state() else { panic!("it waits") };
        waits.push((until - before, attempt));
        source.reconnect();
    }
    waits
}

#[tokio::test]
async fn a_connection_that_is_closed_at_once_is_not_made_again_at_once() {
    let accepted = stream("");
    let repeated = stream("id: 1\n\n");
    let unwilling = answer("503 Service Unavailable", "retry-after: 0\r\n", "");
    for hung_up in [String::new(), accepted, repeated, unwilling] {
        let server = Server::start().await;
        let mut source = EventSource::builder(server.url("/")).last_event_id("1").build().unwrap();
        let waits = waits(&mut source, &server, &vec![hung_up.clone(); 8]).await;
        let least = EventSource::RECONNECTION_TIME;
        assert!(waits.iter().all(|(wait, _)| *wait >= least), "{hung_up}: {waits:?}");
        let attempts: Vec<_> = waits.iter().map(|(_, attempt)| *attempt).collect();
        assert_eq!(attempts, [2, 3, 4, 5, 6, 7, 8, 9], "{hung_up}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_no_wait_at_all_gets_one_even_with_new_ids() {
    let server = Server::start().await;
    let mut source = EventSource::new(server.url("/")).unwrap();
    let answers: Vec<_> = (1..=5).map(|id| stream(&format!("retry: 0\nid: {id}\n\n"))).collect();
    let before = Instant::now();
    for answer in &answers {
        let (_, (until, _)) = tokio::join!(server.answer([answer]), until_waiting(&mut source));
        assert!(until - before >= Backoff::WAIT_MIN);
        assert!(matches!(source.state(), State::Waiting { attempt: 1, .. }), "an id is progress");
        source.reconnect();
    }
}

#[tokio::test]
async fn a_stream_that_was_open_for_long_enough_is_progress() {
    let server = Server::start().await;
    for (healthy_after, expected) in [(Duration::ZERO, [1, 1, 1]), (Duration::MAX, [2, 3, 4])] {
        let mut source = quick(&server.url("/")).healthy_after(healthy_after).build().unwrap();
        let waits = waits(&mut source, &server, &vec![stream("data\n"); 3]).await;
        let attempts: Vec<_> = waits.iter().map(|(_, attempt)| *attempt).collect();
        assert_eq!(attempts, expected, "{healthy_after:?}");
    }
}

#[tokio::test]
async fn attempts_without_progress_end_at_their_limit() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).attempts_max(3).build().unwrap();
    let answers = [String::new(), stream("data: a\n\n"), answer("503 Service Unavailable", "", "")];
    let read = async {
        assert_eq!(source.next().await.unwrap().unwrap().data(), "a");
        fatal_error(&mut source).await
    };
    let (requests, error) = tokio::join!(server.answer(answers), read);
    assert_eq!(requests.len(), 3);
    assert!(matches!(error, EventSourceError::GaveUp { attempts: 3, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "gave up after 3 attempts without progress; the last one: the server responded with \
         503 Service Unavailable"
    );
}

#[tokio::test]
async fn progress_begins_the_count_anew() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).attempts_max(2).build().unwrap();
    let answers = ["", &stream("id: 1\n\n"), "", &stream("id: 2\n\n"), "", &stream("id: 2\n\n")];
    let (requests, error) = tokio::join!(server.answer(answers), fatal_error(&mut source));
    assert_eq!(requests.len(), 6);
    assert!(matches!(error, EventSourceError::GaveUp { attempts: 2, .. }), "{error}");
}
