//! A log in memory whose appends, and questions if told so, wait at a gate, and that fails on command.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use stentor_hub::storage::{
    Bounds, CommitSink, Outcome, Page, ReadRequest, Seek, SeekResult, Storage, TopicState,
    TrimLimits, Trimmed,
};
use stentor_hub::{
    Epoch, Filters, MemoryStorage, Offset, Publish, Record, StorageError, Timestamp, TopicInfo,
    TopicName, TopicsQuery,
};
use tokio::sync::{Semaphore, watch};

pub(crate) struct GatedStorage {
    inner: Arc<MemoryStorage>,
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
    questions: Mutex<Vec<&'static str>>,
    holds_questions: watch::Sender<bool>,
    /// How many events an answer of what is too much covers at most.
    excess_max: Mutex<u64>,
}

impl GatedStorage {
    pub(crate) fn new() -> (GatedStorage, Gate) {
        let gate = Gate(Arc::new(State {
            open: Semaphore::new(0),
            arrived: Semaphore::new(0),
            batches: Mutex::default(),
            failure: Mutex::default(),
            questions: Mutex::default(),
            holds_questions: watch::Sender::new(false),
            excess_max: Mutex::new(u64::MAX),
        }));
        (GatedStorage { inner: Arc::default(), gate: gate.clone() }, gate)
    }

    /// The log itself, without the gate.
    pub(crate) fn log(&self) -> Arc<MemoryStorage> {
        Arc::clone(&self.inner)
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

    /// The questions of readers that were asked so far.
    pub(crate) fn questions(&self) -> Vec<&'static str> {
        self.0.questions.lock().unwrap().clone()
    }

    /// Has the questions of readers wait from now on, or wait no more.
    pub(crate) fn hold_questions(&self, holds: bool) {
        self.0.holds_questions.send_replace(holds);
    }

    async fn question(&self, name: &'static str) -> Result<(), StorageError> {
        self.0.questions.lock().unwrap().push(name);
        let mut holds = self.0.holds_questions.subscribe();
        holds.wait_for(|holds| !holds).await.unwrap();
        self.fail_if_told()
    }

    /// Has everything fail from now on.
    pub(crate) fn fail_with(&self, error: StorageError) {
        *self.0.failure.lock().unwrap() = Some(error);
    }

    /// Has each answer of what is too much cover no more events than this.
    pub(crate) fn answer_excess_in_parts(&self, events: u64) {
        *self.0.excess_max.lock().unwrap() = events;
    }

    /// Has nothing fail any more.
    pub(crate) fn recover(&self) {
        *self.0.failure.lock().unwrap() = None;
    }

    fn fail_if_told(&self) -> Result<(), StorageError> {
        self.0.failure.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

type Answer<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

impl Storage for GatedStorage {
    fn append(&self, batch: Vec<Publish>, now: Timestamp) -> Answer<'_, Vec<Outcome>> {
        Box::pin(async move {
            self.gate.0.batches.lock().unwrap().push(batch.len());
            self.gate.0.arrived.add_permits(1);
            self.gate.0.open.acquire().await.unwrap().forget();
            self.gate.fail_if_told()?;
            self.inner.append(batch, now).await
        })
    }

    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    fn bounds(&self) -> Bounds {
        self.inner.bounds()
    }

    fn follow(&self, sink: CommitSink) {
        self.inner.follow(sink);
    }

    fn read(&self, request: ReadRequest) -> Answer<'_, Page> {
        Box::pin(async move {
            self.gate.question("read").await?;
            self.inner.read(request).await
        })
    }

    fn fetch(&self, offsets: Vec<Offset>) -> Answer<'_, Vec<Arc<Record>>> {
        Box::pin(async move {
            self.gate.question("fetch").await?;
            self.inner.fetch(offsets).await
        })
    }

    fn seek(&self, filters: Arc<Filters>, seek: Seek) -> Answer<'_, SeekResult> {
        Box::pin(async move {
            self.gate.question("seek").await?;
            self.inner.seek(filters, seek).await
        })
    }

    fn newest_each(
        &self,
        filters: Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> Answer<'_, Option<Vec<Offset>>> {
        self.inner.newest_each(filters, count, until, limit)
    }

    fn states(&self, topics: Vec<TopicName>) -> Answer<'_, Vec<TopicState>> {
        Box::pin(async move {
            self.gate.question("states").await?;
            self.inner.states(topics).await
        })
    }

    fn topics(&self, query: TopicsQuery) -> Answer<'_, Vec<TopicInfo>> {
        self.inner.topics(query)
    }

    fn trim_point(&self, topic: TopicName, mut keep: TrimLimits) -> Answer<'_, Option<Offset>> {
        Box::pin(async move {
            let part = *self.gate.0.excess_max.lock().unwrap();
            let events = self.inner.states(vec![topic.clone()]).await?.remove(0).events;
            keep.events = keep.events.map(|most| most.max(events.saturating_sub(part)));
            self.inner.trim_point(topic, keep).await
        })
    }

    fn removals(&self) -> u64 {
        self.inner.removals()
    }

    fn trimmed(&self) -> Trimmed {
        self.inner.trimmed()
    }

    fn trim(&self, topics: Vec<(TopicName, Offset)>) -> Answer<'_, ()> {
        Box::pin(async move {
            self.gate.fail_if_told()?;
            self.inner.trim(topics).await
        })
    }

    fn delete(&self, topic: TopicName, now: Timestamp) -> Answer<'_, Option<Offset>> {
        self.inner.delete(topic, now)
    }

    fn set_lease(&self, topic: TopicName, lease: Option<Duration>) -> Answer<'_, ()> {
        self.inner.set_lease(topic, lease)
    }

    fn leases(&self) -> Answer<'_, Vec<(TopicName, Duration)>> {
        self.inner.leases()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
