//! Many events for one topic, one after the other.

mod group;
mod sender;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;

use self::group::Item;
use self::sender::Sender;
use crate::error::PublishError;
use crate::publish::Publish;
use crate::published::Published;
use crate::publisher::Publisher;

/// A queue of events for one topic, which are sent in the background, in order: from
/// [`Publisher::queue`].
///
/// ```no_run
/// use stentor_client::{Event, Publisher};
///
/// # async fn publish() -> Result<(), Box<dyn std::error::Error>> {
/// let publisher = Publisher::new("http://localhost:8080")?;
/// let feed = publisher.queue("sensors/kitchen")?;
/// for celsius in [21.5, 21.6, 21.4] {
///     feed.send(celsius.to_string()).await?;
/// }
/// let published = feed.finish().await?;
/// println!("{} events up to {:?}", published.count, published.last_id);
/// # Ok(())
/// # }
/// ```
///
/// An event goes out at once. What comes while its request is under way goes together in the next
/// one, all or none of it: up to [`REQUEST_EVENTS_MAX`](Self::REQUEST_EVENTS_MAX) events. So nothing
/// waits without need, and a fast producer is not held up by a slow disk or a long way. What is more
/// than an event with a type and a reconnection time (a body, an end, a lease, a key of its own) has a
/// request of its own, in its turn.
///
/// Each request is tried again as [`Publisher::publish`] is, under one key, before anything behind it
/// is sent; so each event is published once and in order, also if the server is killed and comes back
/// meanwhile. The first request that fails for good stops the feed: see [`PublishQueueError`].
///
/// **Dropping a feed abandons what is queued**, and leaves open what is under way:
/// [`finish`](Self::finish) it. It can be shared by reference, or in an `Arc`.
#[derive(Debug)]
pub struct PublishQueue {
    queue: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
    /// Why it stopped.
    stopped: Arc<OnceLock<PublishError>>,
    task: Task,
}

/// Why a [`PublishQueue`] stopped, and what it did not publish.
#[derive(Clone, Debug, Error)]
#[error("{cause} ({} not published)", counted(.unpublished.len()))]
#[non_exhaustive]
pub struct PublishQueueError {
    /// Why the request failed that stopped it.
    #[source]
    pub cause: PublishError,
    /// What is not published, in order: from [`PublishQueue::finish`] all that was queued, from
    /// [`PublishQueue::send`] what was to be sent.
    pub unpublished: Vec<Publish>,
    /// How many of them, the first ones, may be published nonetheless, for their answer was lost.
    pub in_doubt: usize,
}

/// A sent event on its way. Await it to know that it is published; or drop it.
#[derive(Debug)]
pub struct PublishAck(oneshot::Receiver<Result<Published, PublishError>>);

/// The task that sends, as long as anybody wants it to.
#[derive(Debug)]
struct Task(JoinHandle<Result<Published, PublishQueueError>>);

impl PublishQueue {
    /// How many events wait at most; then [`send`](Self::send) waits.
    pub const QUEUE_EVENTS_MAX: usize = 10_000;

    /// How many bytes of events wait at most, those under way included; then [`send`](Self::send)
    /// waits. An event that is larger waits alone.
    pub const QUEUE_BYTES_MAX: usize = 16 << 20;

    /// How many events go in a request at most.
    pub const REQUEST_EVENTS_MAX: usize = 1_000;

    /// How many bytes of events go in a request at most, but for an event that is larger.
    pub const REQUEST_BYTES_MAX: usize = 1 << 20;

    pub(crate) fn begin(publisher: Publisher, topic: &str) -> PublishQueue {
        let (queue, queued) = mpsc::channel(Self::QUEUE_EVENTS_MAX);
        let room = Arc::new(Semaphore::new(Self::QUEUE_BYTES_MAX));
        let stopped = Arc::default();
        let sender = Sender::new(publisher, topic, queued, Arc::clone(&stopped));
        PublishQueue { queue, room, stopped, task: Task(tokio::spawn(sender.run())) }
    }

    /// Queues an event, and waits for that while the queue is full. The receipt tells when it is
    /// published; nobody needs to wait for it.
    ///
    /// Dropped before it is done, nothing is queued.
    ///
    /// # Errors
    ///
    /// If the feed has stopped, with the event.
    pub async fn send(&self, publish: impl Into<Publish>) -> Result<PublishAck, PublishQueueError> {
        let publish = publish.into();
        let bytes = publish.bytes().min(Self::QUEUE_BYTES_MAX);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        match Arc::clone(&self.room).acquire_many_owned(permits).await {
            Ok(room) => self.queue(Some(publish), Some(room)).await,
            Err(_) => Err(self.error(Some(publish))),
        }
    }

    /// Waits until all that was sent before is published.
    ///
    /// # Errors
    ///
    /// Why the feed stopped; [`finish`](Self::finish) tells what is not published.
    pub async fn flush(&self) -> Result<(), PublishError> {
        let receipt = self.queue(None, None).await.map_err(|error| error.cause)?;
        receipt.await.map(drop)
    }

    /// Waits until all that was sent is published: how many events, and the first and the last id.
    ///
    /// # Errors
    ///
    /// Why the feed stopped, with all that is not published.
    pub async fn finish(self) -> Result<Published, PublishQueueError> {
        let PublishQueue { queue, mut task, .. } = self;
        drop(queue);
        (&mut task.0).await.unwrap_or_else(|_| {
            // Only a runtime that shuts down ends it.
            let cause = PublishError::QueueDropped;
            Err(PublishQueueError { cause, unpublished: Vec::new(), in_doubt: 0 })
        })
    }

    /// Queues an event, or the wish to know when all before is published.
    async fn queue(
        &self,
        publish: Option<Publish>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Result<PublishAck, PublishQueueError> {
        let (done, receipt) = oneshot::channel();
        match self.queue.send(Item { publish, done, room }).await {
            Ok(()) => Ok(PublishAck(receipt)),
            Err(mpsc::error::SendError(item)) => Err(self.error(item.publish)),
        }
    }

    /// Why it stopped, when this was to be sent.
    fn error(&self, publish: Option<Publish>) -> PublishQueueError {
        let cause = self.stopped.get().cloned().unwrap_or(PublishError::QueueDropped);
        PublishQueueError { cause, unpublished: publish.into_iter().collect(), in_doubt: 0 }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What came of the request in which the event went; its ids are those of the first and the last
/// event of that request.
impl Future for PublishAck {
    type Output = Result<Published, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|done| done.unwrap_or(Err(PublishError::QueueDropped)))
    }
}

fn counted(events: usize) -> String {
    if events == 1 { "1 event".to_owned() } else { format!("{events} events") }
}
