//! The writer: its connection and its state, and the jobs it runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::ballast::Ballast;
use super::capacity::{Capacity, RECORD_BYTES};
use super::checkpoint::{self, Checkpoint, WalLimit, checkpoint};
use super::compaction::Compaction;
use super::key_sources::KeySources;
use super::open_transaction::OpenTransaction;
use super::pages::growth;
use super::pending::Pending;
use super::transaction::{Changes, WriteTransaction};
use crate::cursor::Offset;
use crate::publish::Publish;
use crate::storage::contract::Commit;
use crate::storage::error::StorageError;
use crate::storage::result::Outcome;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::open_files::OpenFiles;
use crate::storage::sqlite::options::Durability;
use crate::storage::sqlite::schema;
use crate::storage::sqlite::shared_state::SharedState;
use crate::storage::sqlite::tables::log::{self, LogState};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// The connection that writes, and the state that continues from one transaction to the next.
pub(crate) struct Writer {
    pub(crate) connection: Connection,
    pub(crate) state: Arc<SharedState>,
    pub(crate) log: LogState,
    pub(crate) limits: Limits,
    pub(crate) ballast: Ballast,
    pub(crate) pending: Pending,
    pub(crate) wal_limit: WalLimit,
    pub(crate) capacity: Capacity,
    pub(crate) compaction: Compaction,
    /// The newest time that the hub has passed to the writer.
    pub(crate) now: Timestamp,
    /// While the disk is full, appends are refused without an attempt until this time.
    pub(crate) full_until: Timestamp,
    /// The time by which keys expire.
    pub(crate) key_time: Timestamp,
    pub(crate) key_sources: KeySources,
    pub(crate) files: OpenFiles,
    /// Directory of the log.
    pub(crate) dir: PathBuf,
}

impl Writer {
    pub(crate) fn new(
        connection: Connection,
        state: Arc<SharedState>,
        log: LogState,
        limits: Limits,
        ballast: Ballast,
        files: OpenFiles,
        dir: PathBuf,
    ) -> Writer {
        Writer {
            connection,
            state,
            log,
            limits,
            ballast,
            pending: Pending::default(),
            wal_limit: WalLimit::default(),
            capacity: Capacity::default(),
            compaction: Compaction::default(),
            now: Timestamp::default(),
            full_until: Timestamp::default(),
            key_time: Timestamp::default(),
            key_sources: KeySources::default(),
            files,
            dir,
        }
    }

    /// See [`Storage::append`](crate::storage::Storage::append).
    pub(crate) fn append(
        &mut self,
        batch: Vec<Publish>,
        now: Timestamp,
        key_time: Timestamp,
    ) -> Result<Vec<Outcome>, StorageError> {
        self.now = self.now.max(now);
        self.key_time = key_time;
        self.state.refuse_if_failed()?;
        self.refuse_if_full(now)?;
        let records = batch.iter().map(|publish| publish.entries.len() as u64).sum();
        self.write(records, |transaction| {
            transaction.publish_all(batch.into_iter().map(|publish| (publish, now)))
        })
    }

    /// Appends publishes, each with its own time, in one transaction.
    pub(crate) fn append_timed(
        &mut self,
        batch: Vec<(Publish, Timestamp)>,
    ) -> Result<Vec<Outcome>, StorageError> {
        let records = batch.iter().map(|(publish, _)| publish.entries.len() as u64).sum();
        self.transact_appending(records, |transaction| transaction.publish_all(batch))
            .map_err(|error| self.handle_error(error))
    }

    /// See [`Storage::delete`](crate::storage::Storage::delete).
    pub(crate) fn delete(
        &mut self,
        topic: &TopicName,
        now: Timestamp,
    ) -> Result<Option<Offset>, StorageError> {
        self.now = self.now.max(now);
        // The deletion is a record.
        self.write_even_if_full(1, |transaction| transaction.delete(topic, now))
    }

    /// Trims a slice. Returns the topics that are left to trim.
    pub(crate) fn trim(
        &mut self,
        mut topics: Vec<(TopicName, Offset)>,
    ) -> Result<Vec<(TopicName, Offset)>, StorageError> {
        let done = self.write_even_if_full(0, |transaction| transaction.trim_each(&topics))?;
        Ok(topics.split_off(done.min(topics.len())))
    }

    /// Writes what frees space. If the disk is full, it retries with the space of the ballast.
    fn write_even_if_full<T>(
        &mut self,
        records: u64,
        work: impl Fn(&mut WriteTransaction<'_>) -> Result<T, DbError>,
    ) -> Result<T, StorageError> {
        match self.write(records, &work) {
            Err(StorageError::Full) => self.write(records, &work),
            other => other,
        }
    }

    fn write<T>(
        &mut self,
        records: u64,
        work: impl FnOnce(&mut WriteTransaction<'_>) -> Result<T, DbError>,
    ) -> Result<T, StorageError> {
        self.state.refuse_if_failed()?;
        self.transact_appending(records, work).map_err(|error| self.handle_error(error))
    }

    /// Runs `work` in its own transaction, commits it, and makes its changes visible. It must not append a record.
    pub(crate) fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut WriteTransaction<'_>) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        self.transact_appending(0, work)
    }

    /// Runs `work`, which appends at most `records` records, in its own transaction. Commits it, and makes its
    /// changes visible.
    ///
    /// The commit is the last step that can fail: an error means that nothing was stored.
    fn transact_appending<T>(
        &mut self,
        records: u64,
        work: impl FnOnce(&mut WriteTransaction<'_>) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        self.files.check_if_due()?;
        // A new reservation is synced before the first of its offsets is assigned. Otherwise two records, one before
        // a power loss and one after it, could get the same offset.
        let syncs = self.limits.durability == Durability::Os
            && self.log.must_reserve(records, self.limits.reserve);
        if syncs {
            schema::set_durability(&self.connection, Durability::Fsync)?;
        }
        let result = self.commit(work);
        // If it fails, the next commits are synced too.
        if syncs && let Err(error) = schema::set_durability(&self.connection, Durability::Os) {
            tracing::warn!(%error, "cannot set the durability; commits wait for the disk");
        }
        result
    }

    fn commit<T>(
        &mut self,
        work: impl FnOnce(&mut WriteTransaction<'_>) -> Result<T, DbError>,
    ) -> Result<T, DbError> {
        let transaction = OpenTransaction::begin(&self.connection)?;
        let mut write = WriteTransaction::new(
            &self.connection,
            self.state.epoch,
            self.log,
            &self.limits,
            self.key_time,
            &self.key_sources,
        );
        let result = work(&mut write)?;
        let Changes { log, records, leases, damaged, trimmed, purged, sources, to_purge } =
            write.finish()?;
        for place in &damaged {
            self.state.damage.note(place);
        }
        if self.ballast.is_held() {
            let growth = growth(&self.connection)?;
            self.ballast.hold(growth).map_err(|error| DbError::no_ballast(&error))?;
        }
        if let Err(error) = transaction.commit() {
            return Err(self.discard_commit(error));
        }
        self.log = log;
        self.key_sources.apply(sources);
        let bytes: u64 = records.iter().map(|record| record.body().bytes() as u64).sum();
        let rows = records.len() as u64;
        self.pending.committed(to_purge, rows, bytes);
        self.capacity.appended(bytes + rows * RECORD_BYTES);
        self.compaction.purged(purged);
        self.state.count_trimmed(trimmed);
        self.state.publish(Commit { records: &records, leases: &leases }, log.tail, log.removals);
        Ok(result)
    }

    /// Makes sure that a transaction whose commit failed is not stored. Returns the error.
    ///
    /// Its frames may be complete in the write-ahead log, although SQLite does not count them. A crash would bring the
    /// transaction back, although its publisher has the response that nothing was stored. So they are overwritten.
    pub(crate) fn discard_commit(&mut self, error: DbError) -> DbError {
        if !error.is_behind_the_writes() {
            return error;
        }
        if error.is_disk_full() {
            self.make_room();
        }
        let overwritten = OpenTransaction::begin(&self.connection).and_then(|transaction| {
            // A page that is changed and changed back is written, a page without a change is not.
            log::set_clean(&self.connection, true)?;
            log::set_clean(&self.connection, false)?;
            transaction.commit()
        });
        match overwritten {
            Ok(()) => error,
            Err(second) => DbError::Failed(format!(
                "a commit was interrupted, and it is not known if its events are stored: {}",
                second.place()
            )),
        }
    }

    /// Fails the log if one of its files was deleted or replaced. Does nothing if the last check was less than a
    /// second ago.
    pub(crate) fn check_files(&mut self) {
        if self.state.refuse_if_failed().is_ok()
            && let Err(error) = self.files.check_if_due()
        {
            self.state.note_error(error);
        }
    }

    /// Converts an error. If the disk is full, frees space first.
    pub(crate) fn handle_error(&mut self, error: DbError) -> StorageError {
        if error.is_disk_full() {
            self.make_room();
        }
        self.state.note_error(error)
    }

    /// Makes room on a full disk: releases the ballast and runs a checkpoint. The write-ahead log is then overwritten
    /// from its start.
    pub(crate) fn make_room(&mut self) {
        /// Time for which appends are refused without an attempt.
        const PAUSE: Duration = Duration::from_secs(1);
        if self.ballast.is_held() {
            tracing::warn!(
                "the disk is full: events are refused until there is space; deleting and trimming continue"
            );
            self.ballast.release();
        }
        self.full_until = self.now.plus(PAUSE);
        let copied = match checkpoint::has_room(&self.connection, &mut self.ballast) {
            Ok(true) => checkpoint(&self.connection, Checkpoint::Restart).map(drop),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        match copied {
            Err(error) if !error.is_disk_full() => drop(self.state.note_error(error)),
            Ok(()) | Err(_) => {}
        }
    }

    /// Returns an error while the disk is full. Appends continue once the ballast has its space again.
    fn refuse_if_full(&mut self, now: Timestamp) -> Result<(), StorageError> {
        if self.ballast.is_held() {
            return Ok(());
        }
        // A clock that was set back must not make the pause longer.
        if now < self.full_until && now >= self.now {
            return Err(StorageError::Full);
        }
        self.pending.resume();
        let growth = growth(&self.connection).map_err(|error| self.handle_error(error))?;
        self.ballast.hold(growth).map_err(|error| {
            tracing::debug!(%error, "the disk is still full");
            self.handle_error(DbError::no_ballast(&error))
        })
    }
}
