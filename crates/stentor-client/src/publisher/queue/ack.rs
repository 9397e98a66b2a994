//! Acknowledgement of a queued event.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::publisher::error::PublishError;
use crate::publisher::published::Published;

/// Future that completes when an event of a [`PublishQueue`](crate::PublishQueue) is published.
///
/// The result covers the whole request that contained the event: its ids are the first and the last of that request.
/// Dropping the future does not affect the event.
#[derive(Debug)]
pub struct PublishAck(oneshot::Receiver<Result<Published, PublishError>>);

impl PublishAck {
    pub(super) fn new(done: oneshot::Receiver<Result<Published, PublishError>>) -> PublishAck {
        PublishAck(done)
    }
}

impl Future for PublishAck {
    type Output = Result<Published, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|done| done.unwrap_or(Err(PublishError::QueueDropped)))
    }
}
