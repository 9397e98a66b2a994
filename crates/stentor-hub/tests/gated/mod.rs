//! A log in memory for tests. Its appends wait at a gate, its queries wait on request, and it fails on request.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
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

/// The gate of a [`GatedStorage`]; closed at first.
#[derive(Clone)]
pub(crate) struct Gate(Arc<State>);

struct State {
    open: Semaphore,
    arrived: Semaphore,
    batches: Mutex<Vec<usize>>,
    failure: Mutex<Option<StorageError>>,
    queries: Mutex<Vec<&'static str>>,
    holds_queries: watch::Sender<bool>,
    /// The name of the call that panics, and the number of times that it does.
    query_panics: Mutex<(&'static str, u32)>,
    /// Bytes of the events of appends that wait at the gate.
    held_bytes: AtomicUsize,
    /// Time that each append takes, of tokio's clock.
    append_time: Mutex<Duration>,
    /// The next append panics.
    panics: AtomicBool,
    /// Publishes are appended without waiting while the hub asks for that.
    appends_now: AtomicBool,
    appends_running: AtomicUsize,
    /// Maximum number of appends that ran at a time.
    appends_max: AtomicUsize,
    /// Queries that pass although queries wait.
    passes: Semaphore,
    /// Maximum number of events that a trim point covers.
    trim_point_events_max: Mutex<u64>,
}

impl GatedStorage {
    pub(crate) fn new() -> (GatedStorage, Gate) {
        let gate = Gate(Arc::new(State {
            open: Semaphore::new(0),
            arrived: Semaphore::new(0),
            batches: Mutex::default(),
            failure: Mutex::default(),
            queries: Mutex::default(),
            holds_queries: watch::Sender::new(false),
            query_panics: Mutex::new(("", 0)),
            held_bytes: AtomicUsize::new(0),
            append_time: Mutex::default(),
            panics: AtomicBool::new(false),
            appends_now: AtomicBool::new(false),
            appends_running: AtomicUsize::new(0),
            appends_max: AtomicUsize::new(0),
            passes: Semaphore::new(0),
            trim_point_events_max: Mutex::new(u64::MAX),
        }));
        (GatedStorage { inner: Arc::default(), gate: gate.clone() }, gate)
    }

    /// The log itself, without the gate.
    pub(crate) fn log(&self) -> Arc<MemoryStorage> {
        Arc::clone(&self.inner)
    }
}

impl Gate {
    /// Makes each append take this time, of tokio's clock.
    pub(crate) fn set_append_time(&self, time: Duration) {
        *self.0.append_time.lock().unwrap() = time;
    }

    /// Makes the next append panic after it passed the gate.
    pub(crate) fn panic_once(&self) {
        self.0.panics.store(true, Ordering::SeqCst);
    }

    /// Lets publishes that cannot wait through without the gate.
    pub(crate) fn append_now(&self) {
        self.0.appends_now.store(true, Ordering::SeqCst);
    }

    /// The largest number of appends that ran at a time.
    pub(crate) fn appends_max(&self) -> usize {
        self.0.appends_max.load(Ordering::SeqCst)
    }

    /// Lets all appends through from now on.
    pub(crate) fn open(&self) {
        self.0.open.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// Lets this many appends through.
    pub(crate) fn let_through(&self, appends: usize) {
        self.0.open.add_permits(appends);
    }

    /// Waits until an append is at the gate.
    pub(crate) async fn wait_for_append(&self) {
        self.0.arrived.acquire().await.unwrap().forget();
    }

    /// The number of publishes of each append.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.0.batches.lock().unwrap().clone()
    }

    /// The names of the queries so far.
    pub(crate) fn queries(&self) -> Vec<&'static str> {
        self.0.queries.lock().unwrap().clone()
    }

    /// Makes queries wait from now on (`true`), or lets them through (`false`).
    pub(crate) fn hold_queries(&self, holds: bool) {
        self.0.holds_queries.send_replace(holds);
    }

    /// Lets one query through although queries wait.
    pub(crate) fn pass_query(&self) {
        self.0.passes.add_permits(1);
    }

    /// Makes the next calls of a query or a trim panic.
    pub(crate) fn panic_in(&self, name: &'static str, times: u32) {
        *self.0.query_panics.lock().unwrap() = (name, times);
    }

    fn check_panic(&self, name: &'static str) {
        let panics = {
            let mut panics = self.0.query_panics.lock().unwrap();
            let panics_now = panics.0 == name && panics.1 > 0;
            panics.1 -= u32::from(panics_now);
            panics_now
        };
        assert!(!panics, "a bug of the storage in {name}");
    }

    /// Bytes of the events of appends that wait at the gate.
    pub(crate) fn held_bytes(&self) -> usize {
        self.0.held_bytes.load(Ordering::SeqCst)
    }

    /// Makes queries wait from now on, and runs `reading` until its second read waits.
    pub(crate) fn hold_at_second_read<T>(&self, reading: &mut BoxFuture<'_, T>) {
        let reads = || self.queries().iter().filter(|name| **name == "read").count();
        let before = reads();
        self.hold_queries(true);
        assert!(reading.now_or_never().is_none(), "its first query waits");
        while reads() < before + 2 {
            self.0.passes.add_permits(1);
            assert!(reading.now_or_never().is_none(), "it reads twice");
        }
    }

    async fn query(&self, name: &'static str) -> Result<(), StorageError> {
        self.check_panic(name);
        self.0.queries.lock().unwrap().push(name);
        let mut holds = self.0.holds_queries.subscribe();
        tokio::select! {
            biased;
            released = holds.wait_for(|holds| !holds) => drop(released.unwrap()),
            pass = self.0.passes.acquire() => pass.unwrap().forget(),
        }
        self.check_failure()
    }

    /// Makes appends, queries and trims fail from now on.
    pub(crate) fn fail_with(&self, error: StorageError) {
        *self.0.failure.lock().unwrap() = Some(error);
    }

    /// Limits each trim point to this many events.
    pub(crate) fn limit_trim_points(&self, events: u64) {
        *self.0.trim_point_events_max.lock().unwrap() = events;
    }

    /// Ends the failure.
    pub(crate) fn recover(&self) {
        *self.0.failure.lock().unwrap() = None;
    }

    fn check_failure(&self) -> Result<(), StorageError> {
        self.0.failure.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

type Response<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

impl Storage for GatedStorage {
    fn append(&self, batch: Vec<Publish>, now: Timestamp) -> Response<'_, Vec<Outcome>> {
        Box::pin(async move {
            let running = self.gate.0.appends_running.fetch_add(1, Ordering::SeqCst) + 1;
            self.gate.0.appends_max.fetch_max(running, Ordering::SeqCst);
            self.gate.0.batches.lock().unwrap().push(batch.len());
            self.gate.0.arrived.add_permits(1);
            let entries = batch.iter().flat_map(|publish| &publish.entries);
            let bytes = entries.map(|entry| entry.body.bytes()).sum();
            self.gate.0.held_bytes.fetch_add(bytes, Ordering::SeqCst);
            self.gate.0.open.acquire().await.unwrap().forget();
            self.gate.0.held_bytes.fetch_sub(bytes, Ordering::SeqCst);
            self.gate.0.appends_running.fetch_sub(1, Ordering::SeqCst);
            let time = *self.gate.0.append_time.lock().unwrap();
            if time > Duration::ZERO {
                tokio::time::sleep(time).await;
            }
            assert!(!self.gate.0.panics.swap(false, Ordering::SeqCst), "a panic on request");
            self.gate.check_failure()?;
            self.inner.append(batch, now).await
        })
    }

    fn append_now(&self, publish: Publish, now: Timestamp) -> Result<Outcome, Publish> {
        if self.gate.0.appends_now.load(Ordering::SeqCst) {
            return self.inner.append_now(publish, now);
        }
        Err(publish)
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

    fn read(&self, request: ReadRequest) -> Response<'_, Page> {
        Box::pin(async move {
            self.gate.query("read").await?;
            self.inner.read(request).await
        })
    }

    fn fetch(&self, offsets: Vec<Offset>) -> Response<'_, Vec<Arc<Record>>> {
        Box::pin(async move {
            self.gate.query("fetch").await?;
            self.inner.fetch(offsets).await
        })
    }

    fn seek(&self, filters: Arc<Filters>, seek: Seek) -> Response<'_, SeekResult> {
        Box::pin(async move {
            self.gate.query("seek").await?;
            self.inner.seek(filters, seek).await
        })
    }

    fn newest_each(
        &self,
        filters: Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> Response<'_, Option<Vec<Offset>>> {
        self.inner.newest_each(filters, count, until, limit)
    }

    fn states(&self, topics: Vec<TopicName>) -> Response<'_, Vec<TopicState>> {
        Box::pin(async move {
            self.gate.query("states").await?;
            self.inner.states(topics).await
        })
    }

    fn topics(&self, query: TopicsQuery) -> Response<'_, Vec<TopicInfo>> {
        self.gate.check_panic("topics");
        self.inner.topics(query)
    }

    fn trim_point(&self, topic: TopicName, mut limits: TrimLimits) -> Response<'_, Option<Offset>> {
        Box::pin(async move {
            self.gate.check_panic("trim_point");
            let part = *self.gate.0.trim_point_events_max.lock().unwrap();
            let events = self.inner.states(vec![topic.clone()]).await?.remove(0).events;
            limits.events = limits.events.map(|most| most.max(events.saturating_sub(part)));
            self.inner.trim_point(topic, limits).await
        })
    }

    fn removals(&self) -> u64 {
        self.inner.removals()
    }

    fn trimmed(&self) -> Trimmed {
        self.inner.trimmed()
    }

    fn trim(&self, topics: Vec<(TopicName, Offset)>) -> Response<'_, ()> {
        Box::pin(async move {
            self.gate.check_panic("trim");
            self.gate.check_failure()?;
            self.inner.trim(topics).await
        })
    }

    fn delete(&self, topic: TopicName, now: Timestamp) -> Response<'_, Option<Offset>> {
        self.inner.delete(topic, now)
    }

    fn leases(&self) -> Response<'_, Vec<(TopicName, Duration)>> {
        Box::pin(async move {
            // The answer is that of the time of the question, however long it takes.
            let leases = self.inner.leases().await;
            self.gate.query("leases").await?;
            leases
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
