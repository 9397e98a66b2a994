//! A log in memory whose appends wait at a gate.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use stentor_hub::storage::{
    Bounds, Feed, Keep, KeyName, Outcome, Page, ReadRequest, Seek, Sought, Storage, TopicState,
    Trimmed, Upload,
};
use stentor_hub::{
    Epoch, Filters, MemoryStorage, Offset, Publish, Record, StorageError, Timestamp, TopicInfo,
    TopicName, TopicsQuery,
};
use tokio::sync::Semaphore;

pub(crate) struct GatedStorage {
    inner: MemoryStorage,
    gate: Gate,
}

/// The gate of a [`GatedStorage`]. It begins closed.
#[derive(Clone)]
pub(crate) struct Gate(Arc<State>);

struct State {
    open: Semaphore,
    arrived: Semaphore,
    batches: Mutex<Vec<usize>>,
    failure: Mutex<Option<StorageError>>,
}

impl GatedStorage {
    pub(crate) fn new() -> (GatedStorage, Gate) {
        let gate = Gate(Arc::new(State {
            open: Semaphore::new(0),
            arrived: Semaphore::new(0),
            batches: Mutex::default(),
            failure: Mutex::default(),
        }));
        (GatedStorage { inner: MemoryStorage::new(), gate: gate.clone() }, gate)
    }
}

impl Gate {
    /// Lets everything through from now on.
    pub(crate) fn open(&self) {
        self.0.open.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Waits until an append stands at the gate.
    pub(crate) async fn wait_for_append(&self) {
        self.0.arrived.acquire().await.unwrap().forget();
    }

    /// How many publishes each append had.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.0.batches.lock().unwrap().clone()
    }

    pub(crate) fn fail_with(&self, error: StorageError) {
        *self.0.failure.lock().unwrap() = Some(error);
    }

    pub(crate) fn recover(&self) {
        *self.0.failure.lock().unwrap() = None;
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

impl Storage for GatedStorage {
    fn append(&self, batch: Vec<Publish>, now: Timestamp) -> Answer<'_, Vec<Outcome>> {
        Box::pin(async move {
            self.gate.0.batches.lock().unwrap().push(batch.len());
            self.gate.0.arrived.add_permits(1);
            self.gate.0.open.acquire().await.unwrap().forget();
            let failure = self.gate.0.failure.lock().unwrap().clone();
            match failure {
                Some(error) => Err(error),
                None => self.inner.append(batch, now).await,
            }
        })
    }

    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    fn bounds(&self) -> Bounds {
        self.inner.bounds()
    }

    fn tail(&self, feed: Feed) {
        self.inner.tail(feed);
    }

    fn read(&self, request: ReadRequest) -> Answer<'_, Page> {
        self.inner.read(request)
    }

    fn fetch(&self, offsets: Vec<Offset>) -> Answer<'_, Vec<Arc<Record>>> {
        self.inner.fetch(offsets)
    }

    fn seek(&self, filters: Arc<Filters>, seek: Seek) -> Answer<'_, Sought> {
        self.inner.seek(filters, seek)
    }

    fn newest_each(
        &self,
        filters: Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> Answer<'_, Vec<Offset>> {
        self.inner.newest_each(filters, count, until, limit)
    }

    fn states(&self, topics: Vec<TopicName>) -> Answer<'_, Vec<TopicState>> {
        self.inner.states(topics)
    }

    fn topics(&self, query: TopicsQuery) -> Answer<'_, Vec<TopicInfo>> {
        self.inner.topics(query)
    }

    fn excess(&self, topic: TopicName, keep: Keep) -> Answer<'_, Option<Offset>> {
        self.inner.excess(topic, keep)
    }

    fn trimmed(&self) -> Trimmed {
        self.inner.trimmed()
    }

    fn trim(&self, topics: Vec<(TopicName, Offset)>) -> Answer<'_, ()> {
        self.inner.trim(topics)
    }

    fn delete(&self, topic: TopicName, now: Timestamp) -> Answer<'_, Option<Offset>> {
        self.inner.delete(topic, now)
    }

    fn upload(&self, key: KeyName, now: Timestamp) -> Answer<'_, Option<Upload>> {
        self.inner.upload(key, now)
    }

    fn lease(&self, topic: TopicName, lease: Option<Duration>) -> Answer<'_, ()> {
        self.inner.lease(topic, lease)
    }

    fn leases(&self) -> Answer<'_, Vec<(TopicName, Duration)>> {
        self.inner.leases()
    }

    fn by_publisher_id(&self, topic: TopicName, id: String) -> Answer<'_, Option<Arc<Record>>> {
        self.inner.by_publisher_id(topic, id)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
