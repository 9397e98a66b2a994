//! The hub: publish to topics, subscribe to topics.

mod leases;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future;
use stentor_sse::Event;
use tokio::task::coop::consume_budget;

use self::leases::Leases;
use crate::commit::{Committer, Guard, NotReady};
use crate::consumer::Consumer;
use crate::cursor::{Cursor, Epoch, Offset};
use crate::filter::Filters;
use crate::history::{self, HistoryError, HistoryPage, HistoryRequest};
use crate::key::Key;
use crate::publish::{Publish, PublishError, Published};
use crate::record::Record;
use crate::retention::{Retention, enforce};
use crate::shared::Shared;
use crate::start::{Start, SubscribeError};
use crate::storage::{
    Commit, LogTime, MemoryStorage, Outcome, QueryCounts, Storage, StorageError, TopicInfo,
    TopicsQuery, Trimmed,
};
use crate::subscription::Subscription;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// Topics over one log: publish to them and subscribe to them.
///
/// Cheap to clone; clones share one log. Publishing needs a tokio runtime with its timer enabled. Clones may be
/// used from different runtimes. Each of them must keep running or be dropped: publishers of other runtimes may wait
/// for an append that one of its tasks awaits.
#[derive(Clone)]
pub struct Hub(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    committer: Committer,
    leases: Arc<Leases>,
}

/// The result of [`Hub::subscribe`].
pub enum Subscribed {
    /// The stream is open.
    Open(Box<Subscription>),
    /// All topics have ended and the reader's cursor is the id of the last end, so no event will follow.
    ///
    /// Over HTTP this is the status 204, which stops `EventSource` from reconnecting.
    Finished,
}

impl Hub {
    /// Default memory bound of the live window: 32 MiB.
    pub const WINDOW_BYTES: usize = 32 << 20;

    /// Creates a hub whose log is in memory and is lost when the last clone is dropped.
    pub fn memory() -> Hub {
        Hub::new(MemoryStorage::new())
    }

    /// Creates a hub over a log, with a live window of [`Hub::WINDOW_BYTES`].
    pub fn new(storage: impl Storage) -> Hub {
        Hub::with_window(storage, Self::WINDOW_BYTES)
    }

    /// Creates a hub over a log. The live window holds the newest records in about `window_bytes` bytes of memory,
    /// and always the newest record. The window of a log in memory is a part of the log and takes no memory of its own.
    pub fn with_window(storage: impl Storage, window_bytes: usize) -> Hub {
        let storage: Arc<dyn Storage> = Arc::new(storage);
        let leases = Arc::new(Leases::default());
        let on_commit = {
            let leases = Arc::clone(&leases);
            move |commit: Commit<'_>| leases.observe(commit)
        };
        let shared = Shared::new(Arc::clone(&storage), window_bytes, on_commit);
        let committer = Committer::new(storage);
        Hub(Arc::new(Inner { shared: Arc::new(shared), committer, leases }))
    }

    /// Publishes, and returns when the records are durable and visible to readers.
    ///
    /// Dropping the future does not undo the publish: it may still be appended.
    ///
    /// # Errors
    ///
    /// After an error, nothing was appended. The exception is [`PublishError::Storage`]: the log may contain the
    /// publish.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use stentor_hub::{Event, Hub, Publish, TopicName};
    ///
    /// let hub = Hub::memory();
    /// let news = TopicName::new("news")?;
    /// let published = hub.publish(Publish::event(news, Event::new("hello"))).await?;
    /// println!("its id is {}", published.first);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn publish(&self, publish: Publish) -> Result<Published, PublishError> {
        self.publish_with_guard(publish, ()).await
    }

    /// Publishes, and drops `guard` when the publish is no longer in the queue: it is appended, refused, or will never
    /// be appended. Dropping the future does not drop the guard earlier.
    ///
    /// The guard is for the permits and the memory budget of a request. Its caller may disconnect while its publish
    /// is still queued, and then the publish still takes its space.
    ///
    /// # Errors
    ///
    /// The errors of [`Hub::publish`].
    pub async fn publish_with_guard(
        &self,
        publish: Publish,
        guard: impl Send + 'static,
    ) -> Result<Published, PublishError> {
        let publish = match self.publish_now(publish) {
            Ok(published) => {
                // A task that publishes in a loop never waits on this path, so it yields here now and then.
                consume_budget().await;
                return published;
            }
            Err(publish) => publish,
        };
        self.renew_leases_of(&publish);
        let mut outcomes = self.0.committer.commit(vec![publish], boxed(guard)).await?;
        outcomes.pop().map_or(Err(PublishError::Empty), settle)
    }

    /// Publishes without waiting, or returns the publish as the outer `Err`.
    ///
    /// A log in memory never waits, so the publish is returned only while another append is in flight. Other
    /// storages always return it.
    ///
    /// ```
    /// use stentor_hub::{Event, Hub, Publish, TopicName};
    ///
    /// let hub = Hub::memory();
    /// let publish = Publish::event(TopicName::new("news")?, Event::new("hello"));
    /// if let Ok(published) = hub.publish_now(publish) {
    ///     println!("its id is {}", published?.first);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::result_large_err, reason = "the caller gets the publish back")]
    pub fn publish_now(
        &self,
        publish: Publish,
    ) -> Result<Result<Published, PublishError>, Publish> {
        if let Err(error) = publish.validate() {
            return Ok(Err(error));
        }
        // A repeat renews leases too, but appends no record that would do it.
        if publish.key.is_some() {
            self.renew_leases_of(&publish);
        }
        self.0.committer.commit_now(publish).map(settle)
    }

    /// Publishes several publishes in order, each with its own result.
    ///
    /// A refused publish does not fail the others, except those that
    /// [require the previous one](Publish::requires_previous).
    ///
    /// # Errors
    ///
    /// The outer error applies to all of them: none was appended. The exception is [`PublishError::Storage`]: the
    /// log may contain them.
    pub async fn publish_all(
        &self,
        publishes: Vec<Publish>,
    ) -> Result<Vec<Result<Published, PublishError>>, PublishError> {
        self.publish_all_with_guard(publishes, ()).await
    }

    /// Publishes several publishes in order like [`Hub::publish_all`], and drops `guard` when none of them is in the
    /// queue any more, as [`Hub::publish_with_guard`] does.
    ///
    /// # Errors
    ///
    /// The errors of [`Hub::publish_all`].
    pub async fn publish_all_with_guard(
        &self,
        publishes: Vec<Publish>,
        guard: impl Send + 'static,
    ) -> Result<Vec<Result<Published, PublishError>>, PublishError> {
        for publish in &publishes {
            publish.validate()?;
            self.renew_leases_of(publish);
        }
        let outcomes = self.0.committer.commit(publishes, boxed(guard)).await?;
        Ok(outcomes.into_iter().map(settle).collect())
    }

    /// Restarts the window of an upload's key without publishing. Returns `true` if the part that `key` names is
    /// stored; otherwise nothing changes.
    ///
    /// Call this for an upload that is open but sends no events, so that its key is not forgotten.
    pub async fn renew_key(&self, key: Key) -> Result<bool, StorageError> {
        let publish = Publish::new(Vec::new(), Some(key));
        let outcomes = self.0.committer.commit(vec![publish], None).await?;
        Ok(matches!(outcomes.first(), Some(Outcome::Repeat { .. })))
    }

    /// Returns the time by which records age and keys expire, and the jump of the system clock that is not over.
    pub fn log_time(&self) -> LogTime {
        self.storage().log_time(Timestamp::now())
    }

    /// Publishes an event with this data and no type. Shorthand for [`Hub::publish`].
    pub async fn send(
        &self,
        topic: &TopicName,
        data: impl Into<String>,
    ) -> Result<Published, PublishError> {
        self.publish(Publish::event(topic.clone(), Event::new(data))).await
    }

    /// Subscribes with a new consumer that serves only this subscription.
    pub async fn subscribe(
        &self,
        filters: Filters,
        start: Start,
    ) -> Result<Subscribed, SubscribeError> {
        self.subscribe_for(&Consumer::new(), filters, start).await
    }

    /// Subscribes for a consumer that serves several subscriptions.
    pub async fn subscribe_for(
        &self,
        consumer: &Consumer,
        filters: Filters,
        start: Start,
    ) -> Result<Subscribed, SubscribeError> {
        let shared = Arc::clone(&self.0.shared);
        let subscription = Subscription::begin(shared, filters, start, consumer.clone()).await?;
        Ok(subscription.map_or(Subscribed::Finished, |open| Subscribed::Open(Box::new(open))))
    }

    /// Reads a page of history.
    pub async fn history(&self, request: HistoryRequest) -> Result<HistoryPage, HistoryError> {
        self.history_within(request, HistoryRequest::BYTES_MAX).await
    }

    /// Reads a page of history whose events have at most `bytes_max` bytes. The first event can have any size.
    pub async fn history_within(
        &self,
        request: HistoryRequest,
        bytes_max: usize,
    ) -> Result<HistoryPage, HistoryError> {
        history::read(&self.0.shared, request, bytes_max).await
    }

    /// Lists topics, by name in byte order.
    pub async fn topics(&self, query: TopicsQuery) -> Result<Vec<TopicInfo>, StorageError> {
        self.storage().topics(query).await
    }

    /// Number of readers of this hub whose filters match a topic.
    pub fn subscribers(&self, topic: &TopicName) -> usize {
        self.0.shared.interest.subscribers(topic)
    }

    /// Deletes a topic with all its records. Returns `false` if there is no such topic.
    ///
    /// Subscribers of the topic get a `stentor.end` with the reason `deleted`.
    pub async fn delete(&self, topic: &TopicName) -> Result<bool, StorageError> {
        let deletion = self.storage().delete(topic.clone(), Timestamp::now()).await?;
        self.0.shared.large.clear();
        Ok(deletion.is_some())
    }

    /// Trims topics to the limits of `retention`. Never returns: run it as a task beside the server.
    ///
    /// Readers that had not read a trimmed event get a gap.
    ///
    /// Topics are checked about once a second. With very many topics the pauses grow to at most one minute, so that
    /// checks take at most a twentieth of the time. Between two checks a topic can exceed its limits.
    pub async fn enforce_retention(&self, retention: Retention) {
        enforce::run(&self.0.shared, &retention).await;
    }

    /// Number of damaged or lost records that reads have found since the log was opened.
    pub fn damaged_records(&self) -> u64 {
        self.0.shared.storage.damaged()
    }

    /// Counts of the queries to the storage.
    pub fn storage_queries(&self) -> QueryCounts {
        self.storage().queries()
    }

    /// Events and bytes trimmed since the log was opened, by retention or by the log size limit.
    pub fn trimmed(&self) -> Trimmed {
        self.storage().trimmed()
    }

    /// Returns the record at an offset if it is in memory: in the live window, or a large record that was read
    /// recently.
    pub fn record_in_memory(&self, offset: Offset) -> Option<Arc<Record>> {
        self.0.shared.window.get(offset).or_else(|| self.0.shared.large.get(offset))
    }

    /// Returns the record at an offset, from memory or from the storage. `None` if the log has no such record.
    pub async fn record(&self, offset: Offset) -> Result<Option<Arc<Record>>, StorageError> {
        if let Some(record) = self.record_in_memory(offset) {
            return Ok(Some(record));
        }
        let record = self.0.shared.queries.record(offset).await?;
        if let Some(record) = &record {
            self.0.shared.large.keep(record);
        }
        Ok(record)
    }

    /// Number of successful appends since the hub was created. Concurrent publishes share an append, so this is at
    /// most the number of publishes.
    pub fn commits(&self) -> u64 {
        self.0.committer.commits()
    }

    /// Number of calls whose publishes wait for an append, without the append in flight.
    pub fn queued_publishes(&self) -> usize {
        self.0.committer.queued()
    }

    /// Number of times that group commit was restarted: its task ended early, because the storage panicked or because
    /// the runtime of a publisher shut down.
    pub fn committer_restarts(&self) -> u64 {
        self.0.committer.restarts()
    }

    /// Returns an error if the hub cannot take publishes now: the log has failed, an append has been running for
    /// longer than `deadline`, or the storage does not answer within `deadline`. Appends nothing.
    ///
    /// Takes at most `deadline`. Needs a tokio runtime with its timer enabled.
    ///
    /// # Errors
    ///
    /// See [`NotReady`].
    pub async fn check_ready(&self, deadline: Duration) -> Result<(), NotReady> {
        self.0.committer.check_ready(deadline).await
    }

    fn storage(&self) -> &dyn Storage {
        &*self.0.shared.storage
    }

    /// The epoch of the log.
    pub fn epoch(&self) -> Epoch {
        self.storage().epoch()
    }

    /// The position of the newest record.
    pub fn tail(&self) -> Cursor {
        self.0.shared.position(self.0.shared.window.tail())
    }

    /// Waits until the log has failed permanently (a failed sync, a corrupt page) and returns the error.
    ///
    /// A server should then stop, because the data on disk can no longer be trusted.
    pub async fn failed(&self) -> StorageError {
        let (committer, storage) = (pin!(self.0.committer.failed()), self.storage().failed());
        future::select(committer, storage).await.factor_first().0
    }

    /// Finishes running operations and closes the log, so that it can be opened again.
    ///
    /// Afterwards, publishing fails, and so do reads of records older than the live window.
    pub async fn close(&self) {
        self.storage().close().await;
    }
}

/// Boxes a guard, unless its drop does nothing.
fn boxed<T: Send + 'static>(guard: T) -> Option<Guard> {
    if std::mem::needs_drop::<T>() { Some(Box::new(guard)) } else { None }
}

fn settle(outcome: Outcome) -> Result<Published, PublishError> {
    match outcome {
        Outcome::Appended { first, last } => Ok(Published { first, last, repeat: false }),
        Outcome::Repeat { first, last } => Ok(Published { first, last, repeat: true }),
        Outcome::Ended { topic, end } => Err(PublishError::Ended { topic, end }),
        Outcome::KeyReused => Err(PublishError::KeyReused),
        Outcome::Withheld => Err(PublishError::Withheld),
        Outcome::TooManyKeys(bound) => Err(PublishError::TooManyKeys(bound)),
        Outcome::Damaged { reason } => Err(PublishError::Storage(StorageError::Damaged { reason })),
        Outcome::TooManyLeases => Err(PublishError::TooManyLeases),
        Outcome::LeaseChanged => Err(PublishError::Empty),
    }
}
