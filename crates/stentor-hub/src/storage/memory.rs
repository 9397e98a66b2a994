//! The log in memory, for tests and for hubs whose history may be lost at a restart.

mod keys;
mod leases;
mod log;
mod parts;
#[cfg(test)]
mod tests;
mod topic;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::future::{FutureExt, ready};

use self::log::Log;
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

/// A log in memory of bounded size. When it is full, the oldest records are removed, and readers that had not read
/// them get a gap.
///
/// An append runs on the calling thread and never waits. Each instance has its own epoch.
pub struct MemoryStorage {
    epoch: Epoch,
    log: Mutex<Log>,
    sink: OnceLock<CommitSink>,
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
        MemoryStorage { epoch, log, sink: OnceLock::new() }
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

/// A future that is already complete.
fn now<'a, T: Send + 'a>(result: T) -> BoxFuture<'a, T> {
    ready(result).boxed()
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
        now(Ok(self.log().read(&request)))
    }

    fn fetch(&self, offsets: Vec<Offset>) -> BoxFuture<'_, Result<Vec<Arc<Record>>, StorageError>> {
        now(Ok(self.log().fetch(&offsets)))
    }

    fn seek(
        &self,
        filters: Arc<Filters>,
        seek: Seek,
    ) -> BoxFuture<'_, Result<SeekResult, StorageError>> {
        now(Ok(self.log().seek(&filters, seek)))
    }

    fn newest_each(
        &self,
        filters: Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> BoxFuture<'_, Result<Option<Vec<Offset>>, StorageError>> {
        now(Ok(self.log().newest_each(&filters, count, until, limit)))
    }

    fn states(
        &self,
        topics: Vec<TopicName>,
    ) -> BoxFuture<'_, Result<Vec<TopicState>, StorageError>> {
        let log = self.log();
        now(Ok(topics.iter().map(|topic| log.state(topic)).collect()))
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<Vec<TopicInfo>, StorageError>> {
        now(Ok(self.log().list(&query)))
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
