//! What a program sees that follows a stream, and what the server sees of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod arbitrary;
mod authorization;
mod cursor;
mod hostile;
mod json;
mod lifecycle;
mod requests;
mod rules;
mod stream;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod waiting;
mod ways;

use std::time::Duration;

use stentor_client::{EventSource, EventSourceBuilder, EventSourceError, State};
use tokio::time::{Instant, timeout};

/// A source that comes back at once.
fn quick(url: &str) -> EventSourceBuilder {
    EventSource::builder(url).reconnection_time(Duration::ZERO)
}

/// The same, with all else as usual.
fn source(url: &str) -> EventSource {
    quick(url).build().unwrap()
}

/// How long a test waits for what should come. Of tests whose clock may run ahead it is more than any
/// time they are about.
const PATIENCE: Duration = Duration::from_secs(40);

/// The data of all events, up to the end.
async fn data_of(source: &mut EventSource) -> Vec<String> {
    let mut data = Vec::new();
    while let Some(event) = timeout(PATIENCE, source.next()).await.expect("an event or the end") {
        data.push(event.unwrap().into_data());
    }
    data
}

/// Follows the source, which is to give no event, until it waits: until when, and why.
async fn until_waiting(source: &mut EventSource) -> (Instant, EventSourceError) {
    let mut states = source.states();
    let waiting = states.wait_for(|state| matches!(state, State::Waiting { .. }));
    let state = tokio::select! {
        item = source.next() => panic!("instead of a wait: {item:?}"),
        state = timeout(PATIENCE, waiting) => state.expect("a wait").unwrap().clone(),
    };
    match state {
        State::Waiting { until, reason, .. } => (until, reason),
        _ => unreachable!(),
    }
}

/// The one error, and then the end.
async fn fatal_error(source: &mut EventSource) -> EventSourceError {
    let item = timeout(PATIENCE, source.next()).await.expect("an error");
    let error = item.expect("an error").expect_err("an error");
    assert!(source.next().await.is_none(), "an error is the last item");
    assert!(matches!(source.state(), State::Closed));
    error
}
