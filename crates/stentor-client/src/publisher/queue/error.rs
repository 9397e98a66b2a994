//! Error of a queue.

use thiserror::Error;

use crate::publisher::error::PublishError;
use crate::publisher::publish::Publish;

/// Error of a [`PublishQueue`](crate::PublishQueue): the reason why it stopped, and the events it did not publish.
#[derive(Clone, Debug, Error)]
#[error("{cause} ({} not published)", count(.unpublished.len()))]
#[non_exhaustive]
pub struct PublishQueueError {
    /// The error of the request that stopped the queue.
    #[source]
    pub cause: PublishError,
    /// The events that are not published, in order.
    ///
    /// From [`finish`](crate::PublishQueue::finish): all queued events. From [`send`](crate::PublishQueue::send): the
    /// event to send.
    pub unpublished: Vec<Publish>,
    /// Number of events at the start of `unpublished` that may be in the log despite the error, because the response
    /// was lost.
    pub in_doubt: usize,
}

fn count(events: usize) -> String {
    if events == 1 { "1 event".to_owned() } else { format!("{events} events") }
}
