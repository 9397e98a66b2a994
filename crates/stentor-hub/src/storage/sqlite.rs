//! The durable log in SQLite.
//!
//! One thread writes and three read. Callers hand them jobs through two queues: `queue` for the writer, and `reads` for
//! queries, which run in steps, short ones first:
//!
//! ```text
//! SqliteStorage -> queue -> write/   run          the writer's loop: jobs, and maintenance between them
//!                                    transaction  append, delete, trim: one transaction each
//!                                    maintenance  purge, compaction, size limit, checkpoints, expired keys
//!                                       |
//!                                       v
//!                           shared_state          commit -> commit sink -> tail, in this order
//!                                       ^
//!               -> reads -> read/    snapshot     one read transaction for each step of a query
//!                                    page         records after an offset
//!                                    seek         start offset of a reader
//!                                    losses       records that a reader has lost
//! ```
//!
//! `schema` has the tables, their versions and the connections; `tables` reads and writes the rows of each
//! table. `open` starts the threads and stops them. `tools` inspects and copies a log, also while a server
//! uses it. The format is described in `docs/formats/log.md`.

mod crash;
mod damage_report;
mod database_file;
mod db_error;
mod last_run;
mod limits;
mod lock;
mod open;
mod open_error;
mod open_files;
mod options;
mod queue;
mod read;
mod reads;
mod schema;
mod shared_state;
mod tables;
#[cfg(test)]
mod tests;
mod tools;
mod wal;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::future::FutureExt;

use self::db_error::DbError;
use self::limits::Limits;
use self::open::OpenLog;
pub use self::open_error::SqliteOpenError;
pub use self::options::{Durability, SqliteOptions};
use self::read::fetch::FetchQuery;
use self::read::newest_each::NewestEachQuery;
use self::read::page::ReadQuery;
use self::read::seek::SeekQuery;
use self::read::snapshot::Snapshot;
use self::read::states::StatesQuery;
use self::read::step::Stepped;
use self::read::topics::TopicsList;
use self::tables::lease;
pub use self::tools::{
    BackedUp, DroppedWal, Export, ExportFrom, Exported, Finding, Imported, LogInfo, RepairOptions,
    Repaired, SqliteLog, TimeSet, ToolError, VerifyNote,
};
use crate::cursor::{Epoch, Offset};
use crate::filter::Filters;
use crate::publish::Publish;
use crate::record::Record;
use crate::storage::clock::LogTime;
use crate::storage::contract::{CommitSink, Storage};
use crate::storage::error::StorageError;
use crate::storage::query::{ReadRequest, Seek, TopicsQuery, TrimLimits};
use crate::storage::result::{
    Bounds, Outcome, Page, QueryCounts, SeekResult, TopicInfo, TopicState, Trimmed,
};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// A durable log in its own directory.
///
/// When [`append`](Storage::append) returns, its records are on the disk. Only one process can have a directory
/// open. Dropping the storage closes the log and blocks until that is done; [`close`](Storage::close) does the
/// same without blocking a thread.
///
/// ```
/// use stentor_hub::storage::{SqliteStorage, Storage};
///
/// # let parent = tempfile::tempdir()?;
/// # let dir = parent.path().join("data");
/// let log = SqliteStorage::open(&dir)?;
/// assert_eq!(log.bounds().tail.get(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SqliteStorage {
    log: OpenLog,
    limits: Limits,
}

impl SqliteStorage {
    /// Opens the log in `dir` with the default options. Creates the directory and the log if they do not exist.
    ///
    /// Blocks until the log is open: call it before serving.
    ///
    /// # Errors
    ///
    /// See [`SqliteOpenError`].
    pub fn open(dir: impl AsRef<Path>) -> Result<SqliteStorage, SqliteOpenError> {
        SqliteStorage::open_with(dir, SqliteOptions::default())
    }

    /// Opens the log in `dir` with the given options. Creates the directory and the log if they do not exist.
    ///
    /// Blocks until the log is open: call it before serving.
    ///
    /// # Errors
    ///
    /// See [`SqliteOpenError`].
    pub fn open_with(
        dir: impl AsRef<Path>,
        options: SqliteOptions,
    ) -> Result<SqliteStorage, SqliteOpenError> {
        if options.migration_backup {
            tools::back_up_before_migration(dir.as_ref())?;
        }
        SqliteStorage::open_with_limits(dir.as_ref(), Limits::new(options))
    }

    /// Opens the log in `dir` with the given limits.
    fn open_with_limits(dir: &Path, limits: Limits) -> Result<SqliteStorage, SqliteOpenError> {
        Ok(SqliteStorage { log: OpenLog::open(dir, limits)?, limits })
    }

    /// Runs a short query on one of the reading threads, in one step.
    fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Snapshot<'_>) -> Result<T, DbError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StorageError>> {
        async move {
            let mut turn = self.log.reads.begin()?;
            turn.run(|connection| connection.query(query)).await
        }
        .boxed()
    }

    /// Runs a query on the reading threads, in as many steps as it needs.
    fn run<Q: Stepped>(&self, mut query: Q) -> BoxFuture<'_, Result<Q::Output, StorageError>> {
        async move {
            let mut turn = self.log.reads.begin()?;
            let mut rows_max = self.limits.first_step_rows;
            loop {
                let step = turn.run(move |connection| {
                    let result = connection.query(|snapshot| query.step(snapshot, rows_max))?;
                    Ok((result, query))
                });
                match step.await? {
                    (Some(result), _) => return Ok(result),
                    (None, next) => query = next,
                }
                turn.becomes_long()?;
                rows_max = self.limits.step_rows;
            }
        }
        .boxed()
    }
}

impl Storage for SqliteStorage {
    fn epoch(&self) -> Epoch {
        self.log.state.epoch
    }

    fn bounds(&self) -> Bounds {
        self.log.state.bounds()
    }

    fn follow(&self, sink: CommitSink) {
        self.log.state.set_sink(sink);
    }

    fn append(
        &self,
        batch: Vec<Publish>,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Vec<Outcome>, StorageError>> {
        let (key_time, _) = self.log.state.read_clock(now);
        self.log.writes.run(move |writer| writer.append(batch, now, key_time)).boxed()
    }

    fn read(&self, request: ReadRequest) -> BoxFuture<'_, Result<Page, StorageError>> {
        self.run(ReadQuery::new(request))
    }

    fn fetch(&self, offsets: Vec<Offset>) -> BoxFuture<'_, Result<Vec<Arc<Record>>, StorageError>> {
        self.run(FetchQuery::new(offsets))
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
        self.run(NewestEachQuery::new(&filters, count, until, limit))
    }

    fn states(
        &self,
        topics: Vec<TopicName>,
    ) -> BoxFuture<'_, Result<Vec<TopicState>, StorageError>> {
        self.run(StatesQuery::new(topics))
    }

    fn topics(&self, query: TopicsQuery) -> BoxFuture<'_, Result<Vec<TopicInfo>, StorageError>> {
        self.run(TopicsList::new(query))
    }

    fn trim_point(
        &self,
        topic: TopicName,
        limits: TrimLimits,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>> {
        self.query(move |snapshot| snapshot.trim_point(&topic, limits))
    }

    fn trim(&self, topics: Vec<(TopicName, Offset)>) -> BoxFuture<'_, Result<(), StorageError>> {
        async move {
            let mut left = topics;
            // In steps, so that appends can run in between.
            while !left.is_empty() {
                left = self.log.writes.run(move |writer| writer.trim(left)).await?;
            }
            Ok(())
        }
        .boxed()
    }

    fn removals(&self) -> u64 {
        self.log.state.removals()
    }

    fn queries(&self) -> QueryCounts {
        self.log.reads.counts()
    }

    fn trimmed(&self) -> Trimmed {
        self.log.state.trimmed()
    }

    fn damaged(&self) -> u64 {
        self.log.state.damage.count()
    }

    fn delete(
        &self,
        topic: TopicName,
        now: Timestamp,
    ) -> BoxFuture<'_, Result<Option<Offset>, StorageError>> {
        self.log.writes.run(move |writer| writer.delete(&topic, now)).boxed()
    }

    fn log_time(&self, now: Timestamp) -> LogTime {
        self.log.state.read_clock(now).1
    }

    fn leases(&self) -> BoxFuture<'_, Result<Vec<(TopicName, Duration)>, StorageError>> {
        self.query(|snapshot| lease::all(snapshot.connection))
    }

    fn failed(&self) -> BoxFuture<'_, StorageError> {
        self.log.state.failed().boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        async move {
            self.log.state.refuse_if_failed()?;
            self.log.reads.begin_check().run(|_| Ok(())).await?;
            self.log.writes.run(|_| Ok(())).await
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.log.close().boxed()
    }
}
