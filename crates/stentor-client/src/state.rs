//! How the connection of a source fares.

use std::sync::Arc;

use tokio::time::Instant;

use crate::error::EventSourceError;
use crate::head::ResponseHead;

/// The state of an [`EventSource`](crate::EventSource): the `readyState` of browsers, with the wait
/// told apart from the attempt.
///
/// ```no_run
/// use stentor_client::{EventSource, State};
///
/// # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
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
    /// A request is under way, or will be as soon as the source is polled.
    Connecting,
    /// The stream is open, and this is the head of its answer.
    Open(Arc<ResponseHead>),
    /// The source lost its stream, or did not get one, and tries again.
    Waiting {
        /// When it does.
        until: Instant,
        /// What happened.
        reason: EventSourceError,
        /// Which attempt since the last progress that will be, counted from 1.
        attempt: u32,
    },
    /// For good: the server said so, an error was fatal, or [`close`](crate::EventSource::close).
    Closed,
}
