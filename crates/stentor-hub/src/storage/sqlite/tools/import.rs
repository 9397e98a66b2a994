//! Creates a log from an export.

use std::io::{BufRead, Read};
use std::mem;
use std::path::Path;

use super::draft::Draft;
use super::error::ToolError;
use super::line::Line;
use super::log::SqliteLog;
use crate::publish::{FRAME_BYTES_MAX, Publish};
use crate::storage::error::StorageError;
use crate::storage::result::Outcome;
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::open::OpenLog;
use crate::storage::sqlite::options::{Durability, SqliteOptions};
use crate::timestamp::Timestamp;

/// Maximum length of a line in bytes: the largest event and 1 MiB.
const LINE_BYTES_MAX: usize = FRAME_BYTES_MAX + (1 << 20);
/// Maximum number of records in one append.
const BATCH_RECORDS: usize = 1_000;
/// Number of bytes of lines after which an append starts.
const BATCH_BYTES: usize = 4 << 20;

/// Progress, and result, of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Number of events and ends that were imported.
    pub records: u64,
    /// Number of lines that were read.
    pub lines: u64,
}

impl SqliteLog {
    /// Creates a log with a new epoch from the lines of an export, in a directory that is new or empty.
    ///
    /// The log appears when the input has ended and all of it is stored. If an error occurs before, or the future is
    /// dropped, nothing is left.
    ///
    /// Records get new ids and keep the old one as their publisher id. They keep their times, except that a time never
    /// goes back. An end has no time in an export, and gets that of the record before it.
    ///
    /// Calls `progress` from time to time. Blocks the thread while it reads the input.
    ///
    /// # Errors
    ///
    /// [`ToolError::Line`] with the number of the first invalid line. [`ToolError::Exists`] or
    /// [`ToolError::Occupied`] if `dir` is not empty. Others if the input cannot be read or the log cannot be
    /// written.
    pub async fn import(
        dir: &Path,
        input: &mut dyn BufRead,
        progress: &mut dyn FnMut(Imported),
    ) -> Result<Imported, ToolError> {
        let draft = Draft::begin(dir)?;
        let imported = Import::run(draft.dir(), input, progress).await;
        let imported = imported.map_err(|error| draft.convert_error(error))?;
        draft.finish()?;
        Ok(imported)
    }
}

struct Import {
    log: OpenLog,
    batch: Batch,
    /// Time of the last record, if one is known.
    time: Option<Timestamp>,
    done: Imported,
}

/// Lines that were read and are not appended yet.
#[derive(Default)]
struct Batch {
    publishes: Vec<(Publish, Option<Timestamp>)>,
    /// The line number of each publish.
    lines: Vec<u64>,
    bytes: usize,
}

impl Import {
    /// Creates the log in `dir` and closes it. All of it is then in one file.
    async fn run(
        dir: &Path,
        input: &mut dyn BufRead,
        progress: &mut dyn FnMut(Imported),
    ) -> Result<Imported, ToolError> {
        // One sync at the end is enough, because there is no log before. Nothing is trimmed, and there is no
        // ballast.
        let options = SqliteOptions {
            durability: Durability::Os,
            bytes_max: None,
            ..SqliteOptions::default()
        };
        let limits = Limits { ballast: Some(0), ..Limits::new(options) };
        let log = OpenLog::open(dir, limits)?;
        let mut import =
            Import { log, batch: Batch::default(), time: None, done: Imported::default() };
        while import.fill(input)? {
            import.flush().await?;
            progress(import.done);
        }
        import.flush().await?;
        import.log.close().await;
        let written = SqliteLog::open(dir)?.info()?;
        if !written.clean || written.wal_bytes > 0 {
            let reason = "the new log could not be closed properly".to_owned();
            return Err(StorageError::Failed { reason }.into());
        }
        Ok(import.done)
    }

    /// Reads lines for one append. Returns `false` at the end of the input.
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
            self.take(&line).map_err(|reason| invalid_line(self.done.lines, reason))?;
        }
        Ok(true)
    }

    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        if line.len() == LINE_BYTES_MAX && !line.ends_with(b"\n") {
            return Err(format!("the line is longer than {LINE_BYTES_MAX} bytes"));
        }
        let line = match self.done.lines {
            // Some editors and shells start a file with a byte order mark.
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
        // An end at the start of the export gets the time of the next event.
        let first = publishes.iter().find_map(|(_, time)| *time);
        let mut last = self.time.or(first).unwrap_or_else(Timestamp::now);
        for (publish, time) in publishes {
            last = last.max(time.unwrap_or(last));
            timed.push((publish, last));
        }
        if !timed.is_empty() {
            self.time = Some(last);
        }
        let outcomes = self.log.writes.run(|writer| writer.append_timed(timed)).await?;
        for (outcome, line) in outcomes.into_iter().zip(lines) {
            match outcome {
                Outcome::Appended { .. } => self.done.records += 1,
                Outcome::Ended { topic, .. } => {
                    let reason = format!("the topic {:?} ended on an earlier line", topic.as_str());
                    return Err(invalid_line(line, reason));
                }
                Outcome::Repeat { .. }
                | Outcome::KeyReused
                | Outcome::Withheld
                | Outcome::Damaged { .. }
                | Outcome::LeaseChanged
                | Outcome::TooManyKeys(_)
                | Outcome::TooManyLeases => {
                    return Err(invalid_line(line, "the log refused it".to_owned()));
                }
            }
        }
        Ok(())
    }
}

fn invalid_line(line: u64, reason: String) -> ToolError {
    ToolError::Line { line, reason }
}
