//! Connection state of an event source.

use std::sync::Arc;

use tokio::time::Instant;

use super::error::EventSourceError;
use super::response_head::ResponseHead;

/// Connection state of an [`EventSource`](crate::EventSource).
///
/// It corresponds to `readyState` in browsers, where `Connecting` and `Waiting` are one state.
///
/// ```no_run
/// use stentor_client::{EventSource, State};
///
/// # async fn subscribe() -> Result<(), Box<dyn std::error::Error>> {
/// let source = EventSource::new("http://localhost:8080/topics/news")?;
/// let mut states = source.states();
/// tokio::spawn(async move {
///     while states.changed().await.is_ok() {
///         match &*states.borrow_and_update() {
///             State::Open(head) => eprintln!("{} is open", head.url),
///             State::Waiting { reason, attempt, .. } => eprintln!("{reason}; attempt {attempt} is next"),
///             State::Connecting | State::Closed => {}
///         }
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub enum State {
    /// A request is in progress, or starts when the source is polled next.
    Connecting,
    /// The stream is open.
    Open(Arc<ResponseHead>),
    /// The source has no stream and waits before the next attempt.
    Waiting {
        /// Time of the next attempt.
        until: Instant,
        /// The reason why there is no stream.
        reason: EventSourceError,
        /// Number of the next attempt since the last progress, counted from 1.
        attempt: u32,
    },
    /// Closed permanently: by a 204, a fatal error, or [`close`](crate::EventSource::close).
    Closed,
}
