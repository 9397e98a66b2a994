//! Servers that cause many reconnects.

use std::time::Duration;

use stentor_client::reconnect::Backoff;
use stentor_client::{EventSource, EventSourceError, State};
use tokio::time::Instant;

use crate::support::{Server, response, stream};
use crate::{fatal_error, quick, until_waiting};

/// Returns the delay and the attempt number after each of these responses. Does not wait for the delays.
async fn waits(
    source: &mut EventSource,
    server: &Server,
    responses: &[String],
) -> Vec<(Duration, u32)> {
    let mut waits = Vec::new();
    for response in responses {
        let before = Instant::now();
        let (_, (until, _)) = tokio::join!(server.respond([response]), until_waiting(source));
        let State::Waiting { attempt, .. } = source.state() else {
            panic!("the source does not wait")
        };
        waits.push((until - before, attempt));
        source.reconnect();
    }
    waits
}

#[tokio::test]
async fn a_connection_that_is_closed_at_once_is_retried_with_growing_delays() {
    let accepted = stream("");
    let repeated = stream("id: 1\n\n");
    let unavailable = response("503 Service Unavailable", "retry-after: 0\r\n", "");
    for response in [String::new(), accepted, repeated, unavailable] {
        let server = Server::start().await;
        let mut source = EventSource::builder(server.url("/")).last_event_id("1").build().unwrap();
        let waits = waits(&mut source, &server, &vec![response.clone(); 8]).await;
        let least = EventSource::RECONNECTION_TIME;
        assert!(waits.iter().all(|(wait, _)| *wait >= least), "{response}: {waits:?}");
        let attempts: Vec<_> = waits.iter().map(|(_, attempt)| *attempt).collect();
        assert_eq!(attempts, [2, 3, 4, 5, 6, 7, 8, 9], "{response}");
    }
}

#[tokio::test]
async fn a_reconnection_time_of_zero_has_a_minimum_delay_even_with_new_ids() {
    let server = Server::start().await;
    let mut source = EventSource::new(server.url("/")).unwrap();
    let responses: Vec<_> = (1..=5).map(|id| stream(&format!("retry: 0\nid: {id}\n\n"))).collect();
    let before = Instant::now();
    for response in &responses {
        let (_, (until, _)) = tokio::join!(server.respond([response]), until_waiting(&mut source));
        assert!(until - before >= Backoff::WAIT_MIN);
        assert!(matches!(source.state(), State::Waiting { attempt: 1, .. }), "an id is progress");
        source.reconnect();
    }
}

#[tokio::test]
async fn a_stream_that_stayed_open_is_progress() {
    let server = Server::start().await;
    for (healthy_after, expected) in [(Duration::ZERO, [1, 1, 1]), (Duration::MAX, [2, 3, 4])] {
        let mut source = quick(&server.url("/")).healthy_after(healthy_after).build().unwrap();
        let waits = waits(&mut source, &server, &vec![stream("data\n"); 3]).await;
        let attempts: Vec<_> = waits.iter().map(|(_, attempt)| *attempt).collect();
        assert_eq!(attempts, expected, "{healthy_after:?}");
    }
}

#[tokio::test]
async fn attempts_without_progress_are_limited() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).attempts_max(3).build().unwrap();
    let responses =
        [String::new(), stream("data: a\n\n"), response("503 Service Unavailable", "", "")];
    let read = async {
        assert_eq!(source.next().await.unwrap().unwrap().data(), "a");
        fatal_error(&mut source).await
    };
    let (requests, error) = tokio::join!(server.respond(responses), read);
    assert_eq!(requests.len(), 3);
    assert!(matches!(error, EventSourceError::GaveUp { attempts: 3, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "gave up after 3 attempts without progress; the last one: the server responded with \
         503 Service Unavailable"
    );
}

#[tokio::test]
async fn progress_resets_the_number_of_attempts() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).attempts_max(2).build().unwrap();
    let responses = ["", &stream("id: 1\n\n"), "", &stream("id: 2\n\n"), "", &stream("id: 2\n\n")];
    let (requests, error) = tokio::join!(server.respond(responses), fatal_error(&mut source));
    assert_eq!(requests.len(), 6);
    assert!(matches!(error, EventSourceError::GaveUp { attempts: 2, .. }), "{error}");
}
