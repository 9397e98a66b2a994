//! The one thread that writes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use tokio::time::Instant;

use super::ballast::{Ballast, growth};
use super::capacity::{Capacity, RECORD_BYTES};
use super::change::{Change, Changed};
use super::chores::{Chores, IDLE};
use super::clock::Clock;
use super::column;
use super::fault::Fault;
use super::lease;
use super::ledger::Ledger;
use super::limits::Limits;
use super::options::Durability;
use super::pack::Packing;
use super::queue::Job;
use super::schema;
use super::shared::Shared;
use super::wal::Checkpoint;
use crate::cursor::Offset;
use crate::publish::Publish;
use crate::storage::{Outcome, StorageError};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// The connection that writes, and what goes on from one transaction to the next.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) ledger: Ledger,
    pub(super) limits: Limits,
    pub(super) ballast: Ballast,
    pub(super) chores: Chores,
    pub(super) capacity: Capacity,
    pub(super) packing: Packing,
    /// The newest time that the hub told.
    pub(super) now: Timestamp,
    /// While the disk is full, appends are refused until this time without a try.
    pub(super) full_until: Timestamp,
    clock: Clock,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        shared: Arc<Shared>,
        ledger: Ledger,
        limits: Limits,
        ballast: Ballast,
    ) -> Writer {
        Writer {
            connection,
            shared,
            ledger,
            limits,
            ballast,
            chores: Chores::default(),
            capacity: Capacity::default(),
            packing: Packing::default(),
            now: Timestamp::default(),
            full_until: Timestamp::default(),
            clock: Clock::default(),
        }
    }

    /// Does what is asked, and a slice of the chores after each job and while nothing is asked. Ends when
    /// nobody can ask any more; the `readers` end then too.
    pub(super) fn run(mut self, jobs: &Receiver<Job<Writer>>, readers: Vec<JoinHandle<()>>) {
        loop {
            match self.next(jobs) {
                Next::Job(job) => {
                    job(&mut self);
                    self.chore();
                }
                Next::Chore => self.chore(),
                Next::Idle => self.idle(),
                Next::End => break,
            }
        }
        for reader in readers {
            // One that panicked has nothing more to read.
            let _ = reader.join();
        }
        self.finish();
    }

    fn next(&self, jobs: &Receiver<Job<Writer>>) -> Next {
        if self.has_chores() {
            return match jobs.try_recv() {
                Ok(job) => Next::Job(job),
                Err(TryRecvError::Empty) => Next::Chore,
                Err(TryRecvError::Disconnected) => Next::End,
            };
        }
        if self.is_settled() {
            return jobs.recv().map_or(Next::End, Next::Job);
        }
        match jobs.recv_timeout(IDLE) {
            Ok(job) => Next::Job(job),
            Err(RecvTimeoutError::Timeout) => Next::Idle,
            Err(RecvTimeoutError::Disconnected) => Next::End,
        }
    }

    /// See [`Storage::append`](crate::storage::Storage::append).
    pub(super) fn append(
        &mut self,
        batch: Vec<Publish>,
        now: Timestamp,
    ) -> Result<Vec<Outcome>, StorageError> {
        self.observe(now);
        self.shared.refuse_if_failed()?;
        self.refuse_if_full(now)?;
        self.write(|change| change.publish_all(batch.into_iter().map(|publish| (publish, now))))
    }

    /// See [`Storage::delete`](crate::storage::Storage::delete).
    pub(super) fn delete(
        &mut self,
        topic: &TopicName,
        now: Timestamp,
    ) -> Result<Option<Offset>, StorageError> {
        self.observe(now);
        self.write_even_if_full(|change| change.delete(topic, now))
    }

    /// Trims a slice; gives back what is left to trim.
    pub(super) fn trim(
        &mut self,
        mut topics: Vec<(TopicName, Offset)>,
    ) -> Result<Vec<(TopicName, Offset)>, StorageError> {
        let done = self.write_even_if_full(|change| change.trim_each(&topics))?;
        Ok(topics.split_off(done.min(topics.len())))
    }

    /// See [`Storage::set_lease`](crate::storage::Storage::set_lease).
    pub(super) fn set_lease(
        &mut self,
        topic: &TopicName,
        lease: Option<Duration>,
    ) -> Result<(), StorageError> {
        self.write(|change| lease::store(change.connection, topic, lease))
    }

    /// Writes what frees space: if the disk is full, with the space of the ballast.
    fn write_even_if_full<T>(
        &mut self,
        work: impl Fn(&mut Change<'_>) -> Result<T, Fault>,
    ) -> Result<T, StorageError> {
        match self.write(&work) {
            Err(StorageError::Full) => self.write(&work),
            other => other,
        }
    }

    fn write<T>(
        &mut self,
        work: impl FnOnce(&mut Change<'_>) -> Result<T, Fault>,
    ) -> Result<T, StorageError> {
        self.shared.refuse_if_failed()?;
        self.transact(work).map_err(|fault| self.judge(fault))
    }

    /// Runs a change in a transaction of its own; once that is committed, publishes what was appended.
    pub(super) fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut Change<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut change = Change::new(&transaction, self.shared.epoch, self.ledger, &self.limits);
        let answer = work(&mut change)?;
        let Changed { ledger, records, trimmed, swept, unswept } = change.finish()?;
        if self.ballast.is_held() {
            self.ballast.hold(growth(&transaction)?).map_err(|error| Fault::no_ballast(&error))?;
        }
        transaction.commit()?;
        if ledger.reserved_through != self.ledger.reserved_through {
            self.sync_reservation(ledger.tail)?;
        }
        self.ledger = ledger;
        let bytes: u64 = records.iter().map(|record| record.body().bytes() as u64).sum();
        let rows = records.len() as u64;
        self.chores.committed(unswept, rows, bytes);
        self.capacity.appended(bytes + rows * RECORD_BYTES);
        self.packing.swept(swept);
        self.shared.count_trimmed(trimmed);
        self.shared.publish(&records, ledger.tail, ledger.removals);
        Ok(answer)
    }

    /// Has the disk know which offsets may be given out before the first of them is: without that, an
    /// offset could stand for two records, one before a power failure and one after it.
    fn sync_reservation(&mut self, tail: Offset) -> Result<(), Fault> {
        if self.limits.durability == Durability::Os {
            schema::set_durability(&self.connection, Durability::Fsync)?;
            // A commit that syncs brings all commits before it to the disk; one that changes nothing does
            // not even sync, so it notes something new: the tail, which is never below an older one.
            self.connection.execute("UPDATE log SET tail = ?1", [column::offset(tail)])?;
            schema::set_durability(&self.connection, Durability::Os)?;
        }
        Ok(())
    }

    /// Decides what a fault means, and makes room if it means that there is none.
    pub(super) fn judge(&mut self, fault: Fault) -> StorageError {
        if fault.is_full() {
            self.make_room();
        }
        self.shared.judge(fault)
    }

    /// The disk is full: lets go of the ballast, and has the write-ahead log begin anew in its place.
    fn make_room(&mut self) {
        /// How long appends are refused without a try.
        const PAUSE: Duration = Duration::from_secs(1);
        if self.ballast.is_held() {
            tracing::warn!(
                "the disk is full: events are refused until there is space; deleting and trimming go on"
            );
            self.ballast.release();
        }
        self.full_until = self.now.plus(PAUSE);
        let copied = match self.has_room_to_copy() {
            Ok(true) => self.checkpoint(Checkpoint::Restart).map(drop),
            Ok(false) => Ok(()),
            Err(fault) => Err(fault),
        };
        match copied {
            Err(fault) if !fault.is_full() => drop(self.shared.judge(fault)),
            Ok(()) | Err(_) => {}
        }
    }

    /// After the disk was full, appends go on once the ballast has its space again.
    fn refuse_if_full(&mut self, now: Timestamp) -> Result<(), StorageError> {
        if self.ballast.is_held() {
            return Ok(());
        }
        // A clock that was set back must not make the pause any longer.
        if now < self.full_until && now >= self.now {
            return Err(StorageError::Full);
        }
        self.chores.resume();
        let growth = growth(&self.connection).map_err(|fault| self.judge(fault))?;
        self.ballast.hold(growth).map_err(|error| {
            tracing::debug!(%error, "the disk is still full");
            self.judge(Fault::no_ballast(&error))
        })
    }

    fn observe(&mut self, now: Timestamp) {
        if let Some(jump) = self.clock.look(self.ledger.time, now, Instant::now()) {
            jump.log();
        }
        self.now = self.now.max(now);
    }

    /// Leaves the log in good order, if it is.
    fn finish(mut self) {
        if self.shared.refuse_if_failed().is_err() {
            self.leave_alone();
            return;
        }
        let mut settled = self.settle();
        if settled.as_ref().is_err_and(Fault::is_full) {
            self.make_room();
            if self.shared.refuse_if_failed().is_ok() {
                settled = self.settle();
            }
        }
        let left = settled.map_err(|fault| self.shared.judge(fault));
        if self.shared.refuse_if_failed().is_err() {
            self.leave_alone();
            return;
        }
        let close = || self.connection.close().map_err(|(_, error)| Fault::from(error).into());
        if let Err(error) = left.and_then(|()| close()) {
            tracing::warn!(%error, "the log could not be closed in good order; nothing that was stored is lost");
        }
    }

    fn settle(&mut self) -> Result<(), Fault> {
        schema::set_durability(&self.connection, Durability::Fsync)?;
        self.ledger.store_clean(&self.connection)?;
        self.checkpoint(Checkpoint::Truncate).map(drop)
    }

    /// A log that has failed is closed without the checkpoint that closing makes by itself: it would copy
    /// what may not be in the write-ahead log on the disk.
    fn leave_alone(&self) {
        let config = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if let Err(error) = self.connection.set_db_config(config, true) {
            tracing::warn!(%error, "the failed log could not be left as it is");
        }
    }
}

enum Next {
    Job(Job<Writer>),
    Chore,
    Idle,
    End,
}
