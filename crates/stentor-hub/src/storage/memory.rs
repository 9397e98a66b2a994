//! The log in memory, for tests and for hubs whose history may be lost at a restart.

mod found_losses;
mod keys;
mod leases;
mod log;
mod parts;
#[cfg(test)]
mod tests;
mod topic;

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::future::{FutureExt, ready};

use self::log::Log;
use self::log::queries::list::List;
use self::log::queries::newest::SeekQuery;
use self::log::queries::newest_each::NewestEach;
use self::log::queries::read::ReadQuery;
use self::log::queries::{STEP_ROWS, Stepped};
use super::clock::LogTime;
use super::contract::{Commit, CommitSink, Storage};
use super::error::StorageError;
use super::live_window::LiveWindow;
use super::query::{ReadRequest, Seek, TopicsQuery, TrimLimits};
use super::result::{Bounds, Outcome, Page, SeekResult, TopicInfo, TopicState, Trimmed};
use crate::cursor::{Epoch, Offset};
use crate::filter::Filters;
use crate::key::KeyLimits;
use crate::publish::Publish;
use crate::record::Record;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// Maximum number of searches for losses that take several steps. Further ones are refused.
const SEARCHES_MAX: usize = 128;

/// A log in memory of bounded size. When it is full, the oldest records are removed, and readers that had not read
/// them get a gap.
///
/// An append runs on the calling thread and never waits. Each instance has its own epoch.
pub struct MemoryStorage {
    epoch: Epoch,
    log: Mutex<Log>,
    sink: OnceLock<CommitSink>,
    /// Number of rows that a step of a query looks at.
    step_rows: usize,
}

impl MemoryStorage {
    /// Default size: 64 MiB.
    pub const BYTES: usize = 64 << 20;

    /// Creates an empty log of [`MemoryStorage::BYTES`].
    pub fn new() -> MemoryStorage {
        MemoryStorage::with_bytes(Self::BYTES)
    }

    /// Creates an empty log that takes about `bytes_max` bytes of memory. It always keeps the newest record.
    pub fn with_bytes(bytes_max: usize) -> MemoryStorage {
        MemoryStorage::with_options(bytes_max, KeyLimits::memory())
    }

    /// Creates an empty log that takes about `bytes_max` bytes of memory, besides its idempotency keys.
    pub fn with_options(bytes_max: usize, keys: KeyLimits) -> MemoryStorage {
        let epoch = Epoch::random();
        let log = Mutex::new(Log::new(epoch, bytes_max, keys));
        MemoryStorage { epoch, log, sink: OnceLock::new(), step_rows: STEP_ROWS }
    }

    /// Burns `count` offsets, at least one, as an unclean stop of a log on disk does. Returns the first and the last.
    #[cfg(feature = "testing")]
    pub fn burn(&self, count: u64) -> (Offset, Offset) {
        let mut log = self.log();
        let first = log.tail.next();
        log.tail = Offset::new(log.tail.get() + count.max(1));
        (first, log.tail)
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        // No code that holds the lock panics in the middle of a change, so a poisoned lock guards complete data.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a query. Most queries need one step, and complete at once.
    fn run<'s, Q>(&'s self, mut query: Q) -> BoxFuture<'s, Result<Q::Output, StorageError>>
    where
        Q: Stepped + Send + 's,
        Q::Output: Send + 's,
    {
        if let Some(result) = query.step(&mut self.log(), self.step_rows) {
            return now(Ok(result));
        }
        async move {
            loop {
                yield_once().await;
                if let Some(result) = query.step(&mut self.log(), self.step_rows) {
                    return Ok(result);
                }
            }
        }
        .boxed()
    }

    fn read_in_steps(&self, mut query: ReadQuery) -> BoxFuture<'_, Result<Page, StorageError>> {
        let mut log = self.log();
        if let Some(page) = query.step(&mut log, self.step_rows) {
            return now(Ok(page));
        }
        if log.searches.len() > SEARCHES_MAX {
            query.cancel(&mut log);
            return now(Err(StorageError::Busy));
        }
        drop(log);
        let mut reading = Reading { storage: self, query };
        async move {
            loop {
                yield_once().await;
                if let Some(page) = reading.query.step(&mut self.log(), self.step_rows) {
                    return Ok(page);
                }
            }
        }
        .boxed()
    }

    /// Runs a change and passes the appended records to the sink before the next append can begin.
    fn change<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let mut log = self.log();
        let result = change(&mut log);
        if let Some(sink) = self.sink.get()
            && !(log.appended.is_empty() && log.lease_changes.is_empty())
        {
            sink(Commit { records: &log.appended, leases: &log.lease_changes });
        }
        log.appended.clear();
        log.lease_changes.clear();
        result
    }
}

impl Default for MemoryStorage {
    fn default() -> MemoryStorage {
        MemoryStorage::new()
    }
}

/// A query that is ended when it is dropped.
struct Reading<'s> {
    storage: &'s MemoryStorage,
    query: ReadQuery,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.query.cancel(&mut self.storage.log());
    }
}

/// A future that is already complete.
fn now<'a, T: Send + 'a>(result: T) -> BoxFuture<'a, T> {
    ready(result).boxed()
}

/// Lets other tasks run once.
fn yield_once() -> impl Future<Output = ()> + Send {
    let mut has_yielded = false;
    poll_fn(move |cx| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

impl Storage for MemoryStorage {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn bounds(&self) -> Bounds {
        Bounds { tail: self.log().tail, burned: Vec::new() }
    }

    fn live_window(&self, bytes: usize) -> LiveWindow {
        self.log().live_window(bytes)
    }

    fn follow(&self, sink: CommitSink) {
        // `follow` is called once. A second sink would be a bug in the caller; the first one stays.
        let _ = self.sink.set(sink);
    }

    fn append(
        &self,
        batch: Vec<Publish>,
        time: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Outcome>, StorageError>> {
        now(Ok(self.change(|log| log.publish_all(batch, time))))
    }

    fn append_now(&self, publish: Publish, time: Timestamp) -> Result<Outcome, Publish> {
        Ok(self.change(|log| log.publish(publish, time)))
    }

    fn commits_at_once(&self) -> bool {
        true
    }

    fn read(&self, request: ReadRequest) -> BoxFuture<'_, Result<Page, StorageError>> {
        self.read_in_steps(ReadQuery::new(request))
    }

    fn fetch(&self, offsets: Vec<Offset>) -> BoxFuture<'_, Result<Vec<Arc<Record>>, StorageError>> {
        now(Ok(self.log().fetch(&offsets)))
    }

    fn seek(
        &self,
        filters: Arc<Filters>,
        seek: Seek,
    ) -> BoxFuture<'_, Result<SeekResult, StorageError>> {
        self.run(SeekQuery::new(filters, seek))
    }

    fn newest_each(
        &self,
        filters: Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> BoxFuture<'_, Result<Option<Vec<Offset>>, StorageError>> {
        self.run(NewestEach::new(filters, count, until, limit))
    }

    fn states(
        &self,
        topics: Vec<TopicName>,
    ) -> BoxFuture<'_, Result<Vec<TopicState>, StorageError>> {
        let log = self.log();
        now(Ok(topics.iter().map(|topic| log.state(topic)).collect()))
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<Vec<TopicInfo>, StorageError>> {
        self.run(List::new(query))
    }

    fn trim_point(
        &self,
        topic: TopicName,
        limits: TrimLimits,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>> {
        now(Ok(self.log().trim_point(&topic, &limits)))
    }

    fn trim(&self, topics: Vec<(TopicName, Offset)>) -> BoxFuture<'_, Result<(), StorageError>> {
        self.change(|log| {
            for (topic, through) in topics {
                log.trim(&topic, through);
            }
        });
        now(Ok(()))
    }

    fn removals(&self) -> u64 {
        self.log().removals
    }

    fn trimmed(&self) -> Trimmed {
        self.log().trimmed
    }

    fn delete(
        &self,
        topic: TopicName,
        time: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>> {
        now(Ok(self.change(|log| log.delete(&topic, time))))
    }

    fn log_time(&self, now: Timestamp) -> LogTime {
        self.log().log_time(now)
    }

    fn leases(&self) -> BoxFuture<'_, Result<Vec<(TopicName, Duration)>, StorageError>> {
        now(Ok(self.log().leases.all()))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        now(())
    }
}
