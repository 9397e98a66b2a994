//! The writer's thread: runs jobs, does maintenance between them, and closes the log at the end.

use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::thread::JoinHandle;

use tokio::time::Instant;

use super::checkpoint::{Checkpoint, checkpoint};
use super::open_transaction::OpenTransaction;
use super::pending::IDLE;
use super::writer::Writer;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::last_run::LastRun;
use crate::storage::sqlite::open_files::INTERVAL;
use crate::storage::sqlite::options::Durability;
use crate::storage::sqlite::queue::Job;
use crate::storage::sqlite::schema;

/// Next step of the writer.
enum Next {
    Job(Job<Writer>),
    Maintain,
    Idle,
    CheckFiles,
    End,
}

/// Runs jobs until the queue is closed. Does a slice of maintenance after each job, and further slices while no job
/// is queued.
///
/// At the end it waits for the threads that read, then closes the log.
pub(crate) fn run(mut writer: Writer, jobs: &Receiver<Job<Writer>>, readers: Vec<JoinHandle<()>>) {
    let mut quiet_since = Instant::now();
    loop {
        let commits = writer.pending.commits;
        let next = next(&writer, jobs, quiet_since);
        // A job that changed nothing, such as a readiness check each second, must not keep the writer from tidying up.
        let is_job = matches!(next, Next::Job(_));
        match next {
            Next::Job(job) => {
                job(&mut writer);
                writer.maintain();
            }
            Next::Maintain => writer.maintain(),
            Next::Idle => writer.idle(),
            Next::CheckFiles => {}
            Next::End => break,
        }
        writer.check_files();
        if !is_job || writer.pending.commits != commits {
            quiet_since = Instant::now();
        }
    }
    for reader in readers {
        // A thread that panicked has ended too.
        let _ = reader.join();
    }
    close(writer);
}

fn next(writer: &Writer, jobs: &Receiver<Job<Writer>>, quiet_since: Instant) -> Next {
    if writer.has_maintenance() {
        return match jobs.try_recv() {
            Ok(job) => Next::Job(job),
            Err(TryRecvError::Empty) => Next::Maintain,
            Err(TryRecvError::Disconnected) => Next::End,
        };
    }
    let is_settled = writer.is_settled();
    if is_settled && writer.state.refuse_if_failed().is_err() {
        return jobs.recv().map_or(Next::End, Next::Job);
    }
    let wait = if is_settled { INTERVAL } else { IDLE.saturating_sub(quiet_since.elapsed()) };
    match jobs.recv_timeout(wait) {
        Ok(job) => Next::Job(job),
        Err(RecvTimeoutError::Timeout) if is_settled => Next::CheckFiles,
        Err(RecvTimeoutError::Timeout) => Next::Idle,
        Err(RecvTimeoutError::Disconnected) => Next::End,
    }
}

/// Marks the log as closed and closes it.
///
/// A log that has failed is left as it is. SQLite does not run its checkpoint at close then: it would copy data that
/// may not be in the write-ahead log on the disk.
fn close(mut writer: Writer) {
    if writer.state.refuse_if_failed().is_err() {
        return;
    }
    let mut settled = settle(&writer);
    if settled.as_ref().is_err_and(DbError::is_disk_full) {
        writer.make_room();
        if writer.state.refuse_if_failed().is_ok() {
            settled = settle(&writer);
        }
    }
    let settled = settled.and_then(|()| {
        // In this order: while the file `unclosed` exists, the write-ahead log must exist too.
        if let Err(error) = LastRun::remove(&writer.dir) {
            tracing::warn!(%error, "cannot remove the file `unclosed`; the next start will recover the log");
            return Ok(());
        }
        Ok(schema::set_checkpoint_at_close(&writer.connection, true)?)
    });
    let left = settled.map_err(|error| writer.state.note_error(error));
    if writer.state.refuse_if_failed().is_err() {
        return;
    }
    let close = || writer.connection.close().map_err(|(_, error)| DbError::from(error).into());
    if let Err(error) = left.and_then(|()| close()) {
        tracing::warn!(%error, "the log could not be closed properly; no stored event is lost");
    }
}

fn settle(writer: &Writer) -> Result<(), DbError> {
    schema::set_durability(&writer.connection, Durability::Fsync)?;
    let transaction = OpenTransaction::begin(&writer.connection)?;
    writer.log.store_clean(&writer.connection)?;
    transaction.commit()?;
    checkpoint(&writer.connection, Checkpoint::Truncate).map(drop)
}
