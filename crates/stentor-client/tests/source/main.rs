//! Tests of the event source against a server whose responses are written by the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod arbitrary;
mod authorization;
mod connecting;
mod cursor;
mod hostile;
mod json;
mod lifecycle;
mod requests;
mod retries;
mod rules;
mod stream;
#[path = "../support/mod.rs"]
mod support;
mod tls;

use std::time::Duration;

use stentor_client::{EventSource, EventSourceBuilder, EventSourceError, State};
use tokio::time::{Instant, timeout};

/// Returns a builder of a source that reconnects without a delay.
fn quick(url: &str) -> EventSourceBuilder {
    EventSource::builder(url).reconnection_time(Duration::ZERO)
}

/// Creates a source that reconnects without a delay.
fn source(url: &str) -> EventSource {
    quick(url).build().unwrap()
}

/// Maximum time to wait for an expected item. Longer than any time that a test with a paused clock is about.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Returns the data of all events up to the end.
async fn data_of(source: &mut EventSource) -> Vec<String> {
    let mut data = Vec::new();
    while let Some(event) = timeout(TIMEOUT, source.next()).await.expect("an event or the end") {
        data.push(event.unwrap().into_data());
    }
    data
}

/// Polls the source, which must return no event, until it waits. Returns the end and the reason of the wait.
async fn until_waiting(source: &mut EventSource) -> (Instant, EventSourceError) {
    let mut states = source.states();
    let waiting = states.wait_for(|state| matches!(state, State::Waiting { .. }));
    let state = tokio::select! {
        item = source.next() => panic!("expected a wait, got: {item:?}"),
        state = timeout(TIMEOUT, waiting) => state.expect("a wait").unwrap().clone(),
    };
    match state {
        State::Waiting { until, reason, .. } => (until, reason),
        _ => unreachable!(),
    }
}

/// Returns the only item, a fatal error. Asserts that it is the last one.
async fn fatal_error(source: &mut EventSource) -> EventSourceError {
    let item = timeout(TIMEOUT, source.next()).await.expect("an error");
    let error = item.expect("an error").expect_err("an error");
    assert!(source.next().await.is_none(), "an error is the last item");
    assert!(matches!(source.state(), State::Closed));
    error
}
