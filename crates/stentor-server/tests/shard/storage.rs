//! A log in memory whose queries fail, hang or panic on request.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use stentor_hub::storage::{
    Bounds, CommitSink, Outcome, Page, ReadRequest, Seek, SeekResult, Storage, TopicState,
    TrimLimits, Trimmed,
};
use stentor_hub::{
    Epoch, Filters, Hub, MemoryStorage, Offset, Publish, Record, StorageError, Timestamp,
    TopicInfo, TopicName, TopicsQuery,
};

/// The answer of a [`FaultyStorage`] to its next queries.
#[derive(Clone, Debug, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    Error(StorageError),
    Hang,
    Panic,
}

impl Fault {
    pub(crate) fn unavailable() -> Fault {
        Fault::Error(StorageError::Unavailable { reason: "a test".to_owned() })
    }

    pub(crate) fn failed() -> Fault {
        Fault::Error(StorageError::Failed { reason: "a test".to_owned() })
    }
}

/// Sets the fault of a storage, and counts its queries.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    fault: Fault,
    queries: usize,
    hanging: usize,
}

/// A query that hangs. It counts until it is dropped.
struct Hanging(Faults);

impl Hanging {
    fn new(faults: &Faults) -> Hanging {
        faults.0.lock().unwrap().hanging += 1;
        Hanging(faults.clone())
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().hanging -= 1;
    }
}

impl Faults {
    pub(crate) fn set(&self, fault: Fault) {
        self.0.lock().unwrap().fault = fault;
    }

    pub(crate) fn queries(&self) -> usize {
        self.0.lock().unwrap().queries
    }

    /// Number of queries that hang now.
    pub(crate) fn hanging(&self) -> usize {
        self.0.lock().unwrap().hanging
    }

    async fn check(&self) -> Result<(), StorageError> {
        let fault = {
            let mut state = self.0.lock().unwrap();
            state.queries += 1;
            state.fault.clone()
        };
        match fault {
            Fault::None => Ok(()),
            Fault::Error(error) => Err(error),
            Fault::Hang => {
                let _hanging = Hanging::new(self);
                std::future::pending().await
            }
            Fault::Panic => panic!("a query panics in a test"),
        }
    }
}

pub(crate) struct FaultyStorage {
    inner: MemoryStorage,
    faults: Faults,
}

/// A hub with a live window of this size, and the faults of its storage.
pub(crate) fn hub_with_faults(window_bytes: usize) -> (Hub, Faults) {
    let faults = Faults::default();
    let storage = FaultyStorage { inner: MemoryStorage::new(), faults: faults.clone() };
    (Hub::with_window(storage, window_bytes), faults)
}

type Response<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

impl Storage for FaultyStorage {
    fn append(&self, batch: Vec<Publish>, now: Timestamp) -> Response<'_, Vec<Outcome>> {
        self.inner.append(batch, now)
    }

    fn append_now(&self, publish: Publish, now: Timestamp) -> Result<Outcome, Publish> {
        self.inner.append_now(publish, now)
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
            self.faults.check().await?;
            self.inner.read(request).await
        })
    }

    fn fetch(&self, offsets: Vec<Offset>) -> Response<'_, Vec<Arc<Record>>> {
        Box::pin(async move {
            self.faults.check().await?;
            self.inner.fetch(offsets).await
        })
    }

    fn seek(&self, filters: Arc<Filters>, seek: Seek) -> Response<'_, SeekResult> {
        self.inner.seek(filters, seek)
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
        self.inner.states(topics)
    }

    fn topics(&self, query: TopicsQuery) -> Response<'_, Vec<TopicInfo>> {
        self.inner.topics(query)
    }

    fn trim_point(&self, topic: TopicName, limits: TrimLimits) -> Response<'_, Option<Offset>> {
        self.inner.trim_point(topic, limits)
    }

    fn removals(&self) -> u64 {
        self.inner.removals()
    }

    fn trimmed(&self) -> Trimmed {
        self.inner.trimmed()
    }

    fn trim(&self, topics: Vec<(TopicName, Offset)>) -> Response<'_, ()> {
        self.inner.trim(topics)
    }

    fn delete(&self, topic: TopicName, now: Timestamp) -> Response<'_, Option<Offset>> {
        self.inner.delete(topic, now)
    }

    fn leases(&self) -> Response<'_, Vec<(TopicName, Duration)>> {
        self.inner.leases()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
