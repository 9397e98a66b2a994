//! A queue of events for one topic, published in the background.

pub(crate) mod ack;
pub(crate) mod error;
pub(crate) mod group;
pub(crate) mod task;

use std::sync::{Arc, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use self::ack::PublishAck;
use self::error::PublishQueueError;
use self::group::{Group, QueuedPublish};
use self::task::{QueueTask, TaskHandle};
use super::Publisher;
use super::error::PublishError;
use super::publish::Publish;
use super::published::Published;

/// A queue of events for one topic. A background task publishes them in order. Created by [`Publisher::queue`].
///
/// ```no_run
/// use stentor_client::{Event, Publisher};
///
/// # async fn publish() -> Result<(), Box<dyn std::error::Error>> {
/// let publisher = Publisher::new("http://localhost:8080")?;
/// let queue = publisher.queue("sensors/kitchen")?;
/// for celsius in [21.5, 21.6, 21.4] {
///     queue.send(celsius.to_string()).await?;
/// }
/// let published = queue.finish().await?;
/// println!("{} events up to {:?}", published.count, published.last_id);
/// # Ok(())
/// # }
/// ```
///
/// # Batching
///
/// One request is in progress at a time. An event that arrives while no request is in progress is sent at once. Events
/// that arrive during a request are sent together in the next one, atomically, up to
/// [`REQUEST_EVENTS_MAX`](Self::REQUEST_EVENTS_MAX) events. A slow disk or network therefore limits the latency, but
/// not the throughput.
///
/// A publish that is more than an event with a type and a reconnection time (a body, an end, a lease, its own
/// idempotency key) is sent in its own request, in order.
///
/// # Failures
///
/// Each request is retried like [`Publisher::publish`], with one idempotency key, before later events are sent. Each
/// event is therefore published once and in order, even if the server crashes and restarts. The first request that
/// fails permanently stops the queue: see [`PublishQueueError`].
///
/// **Dropping a queue discards the events that are not sent yet.** A request in progress may or may not be published.
/// Call [`finish`](Self::finish) first. To share a queue, use a reference or an `Arc`.
#[derive(Debug)]
pub struct PublishQueue {
    sender: mpsc::Sender<QueuedPublish>,
    /// Byte budget of the queue.
    budget: Arc<Semaphore>,
    /// The error that stopped the queue.
    stopped: Arc<OnceLock<PublishError>>,
    task: TaskHandle,
}

impl PublishQueue {
    /// Maximum number of queued events: 10,000. When the queue is full, [`send`](Self::send) waits.
    pub const QUEUE_EVENTS_MAX: usize = 10_000;

    /// Maximum size of queued events, including those of the request in progress: 16 MiB. When the queue is full,
    /// [`send`](Self::send) waits. A larger event is accepted when the queue is empty.
    pub const QUEUE_BYTES_MAX: usize = 16 << 20;

    /// Maximum number of events in a request: 1,000.
    pub const REQUEST_EVENTS_MAX: usize = Group::EVENTS_MAX;

    /// Maximum size of the events in a request: 1 MiB. A larger event is sent alone.
    pub const REQUEST_BYTES_MAX: usize = Group::BYTES_MAX;

    fn start(publisher: Publisher, topic: &str) -> PublishQueue {
        let (sender, receiver) = mpsc::channel(Self::QUEUE_EVENTS_MAX);
        let budget = Arc::new(Semaphore::new(Self::QUEUE_BYTES_MAX));
        let stopped = Arc::default();
        let task = QueueTask::new(publisher, topic, receiver, Arc::clone(&stopped)).spawn();
        PublishQueue { sender, budget, stopped, task }
    }

    /// Adds an event to the queue. Waits while the queue is full.
    ///
    /// The event is published in the background. Await the returned [`PublishAck`] to know when, or drop it.
    ///
    /// # Errors
    ///
    /// [`PublishQueueError`] if the queue has stopped. It contains the event.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it completes, the event is not queued.
    pub async fn send(&self, publish: impl Into<Publish>) -> Result<PublishAck, PublishQueueError> {
        let publish = publish.into();
        let bytes = publish.bytes().min(Self::QUEUE_BYTES_MAX);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        match Arc::clone(&self.budget).acquire_many_owned(permits).await {
            Ok(permit) => self.enqueue(Some(publish), Some(permit)).await,
            Err(_) => Err(self.error(Some(publish))),
        }
    }

    /// Waits until all events sent before are published.
    ///
    /// # Errors
    ///
    /// The error that stopped the queue. [`finish`](Self::finish) returns the events that are not published.
    pub async fn flush(&self) -> Result<(), PublishError> {
        let ack = self.enqueue(None, None).await.map_err(|error| error.cause)?;
        ack.await.map(drop)
    }

    /// Waits until all events are published. Returns their number, and the first and the last id.
    ///
    /// # Errors
    ///
    /// [`PublishQueueError`] with the error that stopped the queue, and all events that are not published.
    pub async fn finish(self) -> Result<Published, PublishQueueError> {
        let PublishQueue { sender, task, .. } = self;
        drop(sender);
        task.join().await
    }

    /// Adds an event to the queue, or a marker without an event that is acknowledged after all earlier events.
    async fn enqueue(
        &self,
        publish: Option<Publish>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<PublishAck, PublishQueueError> {
        let (done, ack) = oneshot::channel();
        match self.sender.send(QueuedPublish { publish, done, permit }).await {
            Ok(()) => Ok(PublishAck::new(ack)),
            Err(mpsc::error::SendError(queued)) => Err(self.error(queued.publish)),
        }
    }

    /// Returns the error that stopped the queue, with the event that cannot be queued.
    fn error(&self, publish: Option<Publish>) -> PublishQueueError {
        let cause = self.stopped.get().cloned().unwrap_or(PublishError::QueueDropped);
        PublishQueueError { cause, unpublished: publish.into_iter().collect(), in_doubt: 0 }
    }
}

impl Publisher {
    /// Starts a queue for a topic: a background task publishes its events in order and in batches.
    ///
    /// # Errors
    ///
    /// [`PublishError::Topic`] if the topic name cannot be part of a URL.
    ///
    /// # Panics
    ///
    /// Panics if called outside a Tokio runtime.
    pub fn queue(&self, topic: &str) -> Result<PublishQueue, PublishError> {
        self.server.topic(topic)?;
        Ok(PublishQueue::start(self.clone(), topic))
    }
}
