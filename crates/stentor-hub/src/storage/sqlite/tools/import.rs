//! A new log made of an export.

use std::io::{BufRead, Read};
use std::mem;
use std::path::Path;

use super::super::limits::Limits;
use super::super::writer::Writer;
use super::super::{Durability, SqliteOptions, SqliteStorage};
use super::draft::Draft;
use super::line::Line;
use super::{SqliteLog, ToolError};
use crate::publish::{FRAME_BYTES_MAX, Publish};
use crate::storage::{Outcome, Storage, StorageError};
use crate::timestamp::Timestamp;

/// The longest line, in bytes: what the largest event takes, and then some.
const LINE_BYTES_MAX: usize = FRAME_BYTES_MAX + (1 << 20);
/// How many records, or bytes of lines, are appended at a time.
const BATCH_RECORDS: usize = 1_000;
const BATCH_BYTES: usize = 4 << 20;

/// What an import came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Events and ends that are in the log.
    pub records: u64,
    /// Lines that were read.
    pub lines: u64,
}

impl SqliteLog {
    /// Makes a new log, of a new history, in a directory that is new or empty: of the lines of an export,
    /// in their order, until the input ends. It is there whole or not at all.
    ///
    /// Records get new ids, and keep the old one as their publisher's. They keep their times, as far as
    /// these do not go back. An end, which tells no time, gets that of the record before it.
    /// `tell` is told now and then how far it is. Reads the input without leaving the thread.
    pub async fn import(
        dir: &Path,
        input: &mut dyn BufRead,
        tell: &mut dyn FnMut(Imported),
    ) -> Result<Imported, ToolError> {
        let draft = Draft::begin(dir)?;
        let made = Import::make(draft.dir(), input, tell).await;
        let done = made.map_err(|error| draft.judge(error))?;
        draft.finish()?;
        Ok(done)
    }
}

struct Import {
    storage: SqliteStorage,
    batch: Batch,
    /// The time of the record before, if any was known so far.
    time: Option<Timestamp>,
    done: Imported,
}

/// Lines that were read and not yet appended.
#[derive(Default)]
struct Batch {
    publishes: Vec<(Publish, Option<Timestamp>)>,
    /// The line of each.
    lines: Vec<u64>,
    bytes: usize,
}

impl Import {
    /// Makes a log that is closed and in one file.
    async fn make(
        dir: &Path,
        input: &mut dyn BufRead,
        tell: &mut dyn FnMut(Imported),
    ) -> Result<Imported, ToolError> {
        // A sync at the end is enough: before that there is no log. Nothing is trimmed either, and no
        // space put aside for a full disk.
        let options = SqliteOptions { durability: Durability::Os, bytes_max: None };
        let limits = Limits { ballast: Some(0), ..Limits::new(options) };
        let storage = SqliteStorage::open_within(dir, limits)?;
        let mut import =
            Import { storage, batch: Batch::default(), time: None, done: Imported::default() };
        while import.fill(input)? {
            import.flush().await?;
            tell(import.done);
        }
        import.flush().await?;
        import.storage.close().await;
        let written = SqliteLog::open(dir)?.info()?;
        if !written.clean || written.wal_bytes > 0 {
            let reason = "the new log could not be closed in good order".to_owned();
            return Err(StorageError::Failed { reason }.into());
        }
        Ok(import.done)
    }

    /// Reads lines for one append. Says whether there may be more.
    fn fill(&mut self, input: &mut dyn BufRead) -> Result<bool, ToolError> {
        let mut line = Vec::new();
        while self.batch.lines.len() < BATCH_RECORDS && self.batch.bytes < BATCH_BYTES {
            line.clear();
            let mut bounded = (&mut *input).take(LINE_BYTES_MAX as u64);
            let read = bounded.read_until(b'\n', &mut line);
            if read.map_err(|error| ToolError::Read { error })? == 0 {
                return Ok(false);
            }
            self.done.lines += 1;
            self.take(&line).map_err(|reason| wrong(self.done.lines, reason))?;
        }
        Ok(true)
    }

    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        if line.len() == LINE_BYTES_MAX && !line.ends_with(b"\n") {
            return Err(format!("it has more than {LINE_BYTES_MAX} bytes"));
        }
        let line = match self.done.lines {
            // Some editors and shells begin a text so.
            1 => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
            _ => line,
        };
        if let Line::Record { publish, time } = Line::parse(line)? {
            self.batch.publishes.push((publish, time));
            self.batch.lines.push(self.done.lines);
            self.batch.bytes += line.len();
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ToolError> {
        let Batch { publishes, lines, .. } = mem::take(&mut self.batch);
        let mut timed = Vec::with_capacity(publishes.len());
        // An end that is the first of all gets the time of what comes next.
        let first = publishes.iter().find_map(|(_, time)| *time);
        let mut last = self.time.or(first).unwrap_or_else(Timestamp::now);
        for (publish, time) in publishes {
            last = last.max(time.unwrap_or(last));
            timed.push((publish, last));
        }
        if !timed.is_empty() {
            self.time = Some(last);
        }
        let outcomes = self.storage.writer.ask(|writer| writer.append_timed(timed)).await?;
        for (outcome, line) in outcomes.into_iter().zip(lines) {
            match outcome {
                Outcome::Appended { .. } => self.done.records += 1,
                Outcome::Ended { topic, .. } => {
                    let reason = format!("the topic {:?} has ended before it", topic.as_str());
                    return Err(wrong(line, reason));
                }
                Outcome::Repeat { .. } | Outcome::KeyReused | Outcome::Withheld => {
                    return Err(wrong(line, "it was refused".to_owned()));
                }
            }
        }
        Ok(())
    }
}

fn wrong(line: u64, reason: String) -> ToolError {
    ToolError::Line { line, reason }
}

impl Writer {
    /// Appends publishes at times of their own, in one transaction.
    fn append_timed(
        &mut self,
        batch: Vec<(Publish, Timestamp)>,
    ) -> Result<Vec<Outcome>, StorageError> {
        self.transact(|change| change.publish_all(batch)).map_err(|fault| self.judge(fault))
    }
}
