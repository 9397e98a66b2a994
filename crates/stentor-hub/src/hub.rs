//! The hub: topics to publish to and to subscribe to.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future;
use stentor_sse::Event;
use tokio::task::coop::consume_budget;

use crate::commit::Committer;
use crate::consumer::{Consumer, Interest};
use crate::cursor::{Cursor, Epoch, Offset};
use crate::filter::Filters;
use crate::history::{self, HistoryError, HistoryPage, HistoryRequest};
use crate::large_records::LargeRecords;
use crate::lease::Leases;
use crate::publish::{Key, Publish, PublishError, Published};
use crate::reader_queries::{EndTracker, ReaderQueries};
use crate::record::Record;
use crate::retention::{self, Retention};
use crate::start::{Start, SubscribeError};
use crate::storage::{
    MemoryStorage, Outcome, Storage, StorageError, TopicInfo, TopicsQuery, Trimmed,
};
use crate::subscription::Subscription;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;
use crate::window::LiveWindow;

/// Topics to publish to and to subscribe to, over one log. Cheap to clone; all clones are the same.
///
/// Publishing needs a tokio runtime with its timer enabled; which one does not matter.
#[derive(Clone)]
pub struct Hub(Arc<Shared>);

/// What the hub and its subscriptions share.
pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) window: Arc<LiveWindow>,
    pub(crate) interest: Arc<Interest>,
    pub(crate) queries: ReaderQueries,
    pub(crate) large: LargeRecords,
    /// Ranges of offsets that an unclean stop took; they are settled when the log is opened.
    pub(crate) burned: Vec<(Offset, Offset)>,
    committer: Committer,
    leases: Arc<Leases>,
}

impl Shared {
    pub(crate) fn position(&self, offset: Offset) -> Cursor {
        Cursor::position(self.storage.epoch(), offset)
    }
}

/// What a reader gets when it subscribes.
pub enum Subscribed {
    /// A stream.
    Open(Box<Subscription>),
    /// Nothing more, ever: all topics have ended and the reader has the receipt of that. Over HTTP
    /// this is the 204 which keeps `EventSource` from coming back.
    Finished,
}

impl Hub {
    /// The memory of the live window unless told otherwise: 32 MiB.
    pub const WINDOW_BYTES: usize = 32 << 20;

    /// A hub whose log lives in memory and ends with the program.
    pub fn memory() -> Hub {
        Hub::new(MemoryStorage::new())
    }

    /// A hub over a log.
    pub fn new(storage: impl Storage) -> Hub {
        Hub::with_window(storage, Self::WINDOW_BYTES)
    }

    /// A hub over a log, with about so many bytes of its newest records in memory.
    pub fn with_window(storage: impl Storage, window_bytes: usize) -> Hub {
        let storage: Arc<dyn Storage> = Arc::new(storage);
        let bounds = storage.bounds();
        let window = Arc::new(LiveWindow::new(bounds.tail, window_bytes));
        let interest = Arc::new(Interest::default());
        let end_tracker = Arc::new(EndTracker::default());
        let leases = Arc::new(Leases::default());
        storage.follow(Box::new({
            let (window, interest) = (Arc::clone(&window), Arc::clone(&interest));
            let (end_tracker, leases) = (Arc::clone(&end_tracker), Arc::clone(&leases));
            move |records: &[Arc<Record>]| {
                end_tracker.observe(records);
                window.push(records);
                leases.observe(records);
                interest.wake(records);
            }
        }));
        let queries = ReaderQueries::new(Arc::clone(&storage), Arc::clone(&window), end_tracker);
        let committer = Committer::new(Arc::clone(&storage));
        Hub(Arc::new(Shared {
            storage,
            window,
            interest,
            queries,
            large: LargeRecords::default(),
            burned: bounds.burned,
            committer,
            leases,
        }))
    }

    /// Publishes, and returns when it is durable and visible.
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
        let publish = match self.publish_now(publish) {
            Ok(published) => {
                // A task that publishes on and on, and never waits, is not to keep others out.
                consume_budget().await;
                return published;
            }
            Err(publish) => publish,
        };
        self.0.leases.renew_for(&publish);
        let mut outcomes = self.0.committer.commit(vec![publish]).await?;
        outcomes.pop().map_or(Err(PublishError::Empty), settle)
    }

    /// Publishes without waiting for anything, or hands the publish back if that cannot be: a log in
    /// memory always can, but while another append is under way.
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
    #[expect(clippy::result_large_err, reason = "what was handed in comes back")]
    pub fn publish_now(
        &self,
        publish: Publish,
    ) -> Result<Result<Published, PublishError>, Publish> {
        if let Err(error) = publish.validate() {
            return Ok(Err(error));
        }
        self.0.committer.commit_now(publish).map(settle)
    }

    /// Publishes several at once, each on its own: a refused one does not fail its neighbours, but for
    /// those that [follow](Publish::requires_previous) it. Their order is kept. The outer error means that none
    /// was published.
    pub async fn publish_all(
        &self,
        publishes: Vec<Publish>,
    ) -> Result<Vec<Result<Published, PublishError>>, PublishError> {
        for publish in &publishes {
            publish.validate()?;
            self.0.leases.renew_for(publish);
        }
        let outcomes = self.0.committer.commit(publishes).await?;
        Ok(outcomes.into_iter().map(settle).collect())
    }

    /// Restarts the window of an upload's key, as a repeat of the part in it would, and says whether that
    /// part is remembered. For an upload that is open and silent, so that its key is not forgotten.
    pub async fn renew_key(&self, key: Key) -> Result<bool, StorageError> {
        let nothing = Publish::new(Vec::new(), Some(key));
        let outcomes = self.0.committer.commit(vec![nothing]).await?;
        Ok(matches!(outcomes.first(), Some(Outcome::Repeat { .. })))
    }

    /// Publishes an unnamed event: what [`Hub::publish`] does, for the most frequent case.
    pub async fn send(
        &self,
        topic: &TopicName,
        data: impl Into<String>,
    ) -> Result<Published, PublishError> {
        self.publish(Publish::event(topic.clone(), Event::new(data))).await
    }

    /// Subscribes, with a consumer of its own.
    pub async fn subscribe(
        &self,
        filters: Filters,
        start: Start,
    ) -> Result<Subscribed, SubscribeError> {
        self.subscribe_for(&Consumer::new(), filters, start).await
    }

    /// Subscribes on behalf of a consumer that serves several subscriptions.
    pub async fn subscribe_for(
        &self,
        consumer: &Consumer,
        filters: Filters,
        start: Start,
    ) -> Result<Subscribed, SubscribeError> {
        let shared = Arc::clone(&self.0);
        let subscription = Subscription::begin(shared, filters, start, consumer.clone()).await?;
        Ok(subscription.map_or(Subscribed::Finished, |open| Subscribed::Open(Box::new(open))))
    }

    /// Reads a page of history.
    pub async fn history(&self, request: HistoryRequest) -> Result<HistoryPage, HistoryError> {
        history::read(&self.0, request).await
    }

    /// Lists topics, by name in byte order.
    pub async fn topics(&self, query: TopicsQuery) -> Result<Vec<TopicInfo>, StorageError> {
        self.0.storage.topics(query).await
    }

    /// How many subscriptions of this hub ask for a topic.
    pub fn subscribers(&self, topic: &TopicName) -> usize {
        self.0.interest.subscribers(topic)
    }

    /// Deletes a topic with all it holds and returns the id of the deletion, or `None` if there is
    /// no such topic. Readers are told an end with the reason `deleted`.
    pub async fn delete(&self, topic: &TopicName) -> Result<bool, StorageError> {
        let deletion = self.0.storage.delete(topic.clone(), Timestamp::now()).await?;
        self.0.large.clear();
        Ok(deletion.is_some())
    }

    /// Holds topics to a retention, for ever: run it as a task beside serving. Readers of what it
    /// trims are told a gap.
    ///
    /// Topics are looked at about once a second; where there are very many, less often, so that this
    /// takes no more than a twentieth of the time. In between a topic may be beyond its limits.
    pub async fn enforce_retention(&self, retention: Retention) {
        retention::enforce(&self.0, &retention).await;
    }

    /// How much trimming has removed since the log was opened, be it by a retention or because the log
    /// was full.
    pub fn trimmed(&self) -> Trimmed {
        self.0.storage.trimmed()
    }

    /// The record at an offset, if it is in memory: in the live window, or large and lately read.
    pub fn record_in_memory(&self, offset: Offset) -> Option<Arc<Record>> {
        self.0.window.get(offset).or_else(|| self.0.large.get(offset))
    }

    /// The record at an offset, from memory if it is there.
    pub async fn record(&self, offset: Offset) -> Result<Option<Arc<Record>>, StorageError> {
        if let Some(record) = self.record_in_memory(offset) {
            return Ok(Some(record));
        }
        let record = self.0.queries.record(offset).await?;
        if let Some(record) = &record {
            self.0.large.keep(record);
        }
        Ok(record)
    }

    /// How many times publishes were brought to the log so far. Publishes that come at the same time
    /// go together, so there are at most as many of these as of publishes.
    pub fn commits(&self) -> u64 {
        self.0.committer.commits()
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        &*self.0.storage
    }

    pub(crate) fn leases(&self) -> &Leases {
        &self.0.leases
    }

    /// The identity of this history of the log.
    pub fn epoch(&self) -> Epoch {
        self.0.storage.epoch()
    }

    /// The position of the newest record.
    pub fn tail(&self) -> Cursor {
        self.0.position(self.0.window.tail())
    }

    /// Waits until the log has failed for good (a failed sync, a corrupt page), and says how. A
    /// server should then stop: what is on the disk can no longer be vouched for.
    pub async fn failed(&self) -> StorageError {
        let (committer, storage) = (pin!(self.0.committer.failed()), self.0.storage.failed());
        future::select(committer, storage).await.factor_first().0
    }

    /// Finishes what is under way and closes the log, so that it can be opened again. Publishing and
    /// reading behind the live window fail afterwards.
    pub async fn close(&self) {
        self.0.storage.close().await;
    }
}

fn settle(outcome: Outcome) -> Result<Published, PublishError> {
    match outcome {
        Outcome::Appended { first, last } => Ok(Published { first, last, repeat: false }),
        Outcome::Repeat { first, last } => Ok(Published { first, last, repeat: true }),
        Outcome::Ended { topic, end } => Err(PublishError::Ended { topic, end }),
        Outcome::KeyReused => Err(PublishError::KeyReused),
        Outcome::Withheld => Err(PublishError::Withheld),
    }
}
