//! The disk as the storage of one hub.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use stentor_hub::storage::{
    Bounds, CommitSink, Outcome, Page, ReadRequest, Seek, SeekResult, Storage, TopicState,
    TrimLimits, Trimmed,
};
use stentor_hub::{
    Epoch, Filters, MemoryStorage, Offset, Publish, Record, StorageError, Timestamp, TopicInfo,
    TopicName, TopicsQuery,
};

use crate::disk::{Disk, unavailable};
use crate::pending::Kind;

/// The disk as one hub sees it. Readers see records once the commit sink has them.
pub(crate) struct SimStorage {
    disk: Disk,
    generation: u64,
    bounds: Bounds,
}

impl SimStorage {
    /// Opens the disk for a new hub.
    pub(crate) fn open(disk: &Disk) -> SimStorage {
        let (generation, tail, burned) = disk.open();
        SimStorage { disk: disk.clone(), generation, bounds: Bounds { tail, burned } }
    }

    fn submit<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce(&MemoryStorage, Offset) -> Option<Result<T, StorageError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StorageError>> {
        let result = self.disk.submit(self.generation, kind, work);
        async move {
            match result.await {
                Ok(Ok(Some(output))) => output,
                Ok(Ok(None)) => Err(unavailable("the log in memory waits")),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(unavailable("the server was killed")),
            }
        }
        .boxed()
    }
}

impl Storage for SimStorage {
    fn epoch(&self) -> Epoch {
        self.disk.log().epoch()
    }

    fn bounds(&self) -> Bounds {
        self.bounds.clone()
    }

    fn follow(&self, sink: CommitSink) {
        self.disk.set_sink(sink);
    }

    fn append(
        &self,
        batch: Vec<Publish>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Outcome>, StorageError>> {
        self.submit(Kind::Append, move |log, _| log.append(batch, now).now_or_never())
    }

    fn append_now(&self, publish: Publish, now: Timestamp) -> Result<Outcome, Publish> {
        self.disk.append_now(self.generation, publish, now).map_err(|publish| *publish)
    }

    fn read(&self, mut request: ReadRequest) -> BoxFuture<'_, Result<Page, StorageError>> {
        self.submit(Kind::Read, move |log, fed| {
            request.until = request.until.min(fed);
            log.read(request).now_or_never()
        })
    }

    fn fetch(
        &self,
        mut offsets: Vec<Offset>,
    ) -> BoxFuture<'_, Result<Vec<Arc<Record>>, StorageError>> {
        self.submit(Kind::Query, move |log, fed| {
            offsets.retain(|offset| *offset <= fed);
            log.fetch(offsets).now_or_never()
        })
    }

    fn seek(
        &self,
        filters: Arc<Filters>,
        seek: Seek,
    ) -> BoxFuture<'_, Result<SeekResult, StorageError>> {
        self.submit(Kind::Query, move |log, fed| {
            let seek = match seek {
                Seek::Newest { count, before } => {
                    Seek::Newest { count, before: before.min(fed.next()) }
                }
                Seek::Earliest | Seek::Since(_) => seek,
            };
            let found = log.seek(filters, seek).now_or_never()?;
            Some(found.map(|found| SeekResult { after: found.after.min(fed), tail: fed, ..found }))
        })
    }

    fn newest_each(
        &self,
        filters: Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> BoxFuture<'_, Result<Option<Vec<Offset>>, StorageError>> {
        self.submit(Kind::Query, move |log, fed| {
            log.newest_each(filters, count, until.min(fed), limit).now_or_never()
        })
    }

    fn states(
        &self,
        topics: Vec<TopicName>,
    ) -> BoxFuture<'_, Result<Vec<TopicState>, StorageError>> {
        self.submit(Kind::Query, move |log, _| log.states(topics).now_or_never())
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<Vec<TopicInfo>, StorageError>> {
        self.submit(Kind::Query, move |log, _| log.topics(query).now_or_never())
    }

    fn trim(&self, topics: Vec<(TopicName, Offset)>) -> BoxFuture<'_, Result<(), StorageError>> {
        self.submit(Kind::Trim, move |log, _| log.trim(topics).now_or_never())
    }

    fn trim_point(
        &self,
        topic: TopicName,
        limits: TrimLimits,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>> {
        self.submit(Kind::Query, move |log, fed| {
            let point = log.trim_point(topic, limits).now_or_never()?;
            Some(point.map(|point| point.map(|through| through.min(fed))))
        })
    }

    fn removals(&self) -> u64 {
        self.disk.log().removals()
    }

    fn trimmed(&self) -> Trimmed {
        self.disk.log().trimmed()
    }

    fn delete(
        &self,
        topic: TopicName,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>> {
        self.submit(Kind::Delete, move |log, _| log.delete(topic, now).now_or_never())
    }

    fn leases(&self) -> BoxFuture<'_, Result<Vec<(TopicName, Duration)>, StorageError>> {
        self.submit(Kind::Query, |log, _| log.leases().now_or_never())
    }

    fn failed(&self) -> BoxFuture<'_, StorageError> {
        let failed = self.disk.failed();
        async move {
            match failed.await {
                Ok(error) => error,
                Err(_) => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.submit(Kind::Close, |_, _| Some(Ok(()))).map(|_| ()).boxed()
    }
}
