//! The file of a recording.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::mem::take;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

use super::line::{Head, Line};
use crate::files::open_file;
use crate::output::print_message;
use crate::output_thread::OutputThread;

/// Maximum length of a line in bytes: the largest event with every character escaped.
const LINE_BYTES_MAX: u64 = 128 << 20;

/// A recording that is read line by line.
pub(super) struct Recording<R> {
    input: R,
    pub(super) head: Head,
    line: u64,
    /// Number of bytes in the lines that were read successfully.
    bytes: u64,
    /// `true` if the last of these lines has a line end.
    is_whole: bool,
}

impl<R: BufRead> Recording<R> {
    /// Reads the first line.
    pub(super) fn new(mut input: R) -> anyhow::Result<Recording<R>> {
        let line = read_line(&mut input)?;
        let head = Head::read(&line)?;
        let is_whole = line.ends_with(b"\n");
        Ok(Recording { input, head, line: 1, bytes: line.len() as u64, is_whole })
    }

    /// Reads the next line; `None` at the end. An incomplete last line is skipped with a message.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Line>> {
        let line = read_line(&mut self.input).with_context(|| format!("line {}", self.line + 1))?;
        if line.is_empty() {
            return Ok(None);
        }
        self.line += 1;
        match Line::read(&line) {
            Ok(read) => {
                self.bytes += line.len() as u64;
                self.is_whole = line.ends_with(b"\n");
                Ok(Some(read))
            }
            Err(_) if !line.ends_with(b"\n") => {
                print_message(format_args!("line {} is incomplete and is skipped", self.line));
                Ok(None)
            }
            Err(error) => Err(error.context(format!("cannot read line {}", self.line))),
        }
    }
}

/// Reads a line with its line end, if it has one; empty at the end of the input.
fn read_line(input: &mut impl BufRead) -> anyhow::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.len() as u64 == LINE_BYTES_MAX {
        bail!("the line is longer than {} MiB", LINE_BYTES_MAX >> 20);
    }
    Ok(line)
}

/// Opens a recording; `-` means stdin.
pub(super) fn open(path: &Path) -> anyhow::Result<Recording<Box<dyn BufRead>>> {
    let input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(open_file(path)?))
    };
    Recording::new(input)
}

/// Writes the lines of a recording. Lines wait in memory until [`flush`](Self::flush).
pub(super) struct Writer {
    lines: Vec<u8>,
    output: OutputThread,
}

/// The content of a recording that is to be continued.
pub(super) struct Existing {
    pub(super) head: Head,
    /// Time of its last line, after its start.
    pub(super) length: Duration,
    pub(super) last_event_id: String,
}

impl Writer {
    pub(super) fn to(output: impl Write + Send + 'static) -> Writer {
        Writer { lines: Vec::new(), output: OutputThread::new(output) }
    }

    /// Opens a file that is new or empty, or with `is_append` one that holds a recording. Then an
    /// incomplete last line is removed, and the content is returned too.
    ///
    /// # Errors
    /// The file is not empty without `is_append`, is not a recording, or another process writes it.
    pub(super) fn open(path: &Path, is_append: bool) -> anyhow::Result<(Writer, Option<Existing>)> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut writer = Writer::lock(file.try_clone()?)?;
        if file.metadata()?.len() == 0 {
            return Ok((writer, None));
        }
        if !is_append {
            bail!("the file is not empty; use --append to continue it, or choose another file");
        }
        let mut recording = Recording::new(BufReader::new(&file))?;
        let existing = Existing::read(&mut recording)?;
        file.set_len(recording.bytes)?;
        if !recording.is_whole {
            writer.lines.push(b'\n');
        }
        Ok((writer, Some(existing)))
    }

    fn lock(file: File) -> anyhow::Result<Writer> {
        match file.try_lock() {
            Ok(()) => Ok(Writer::to(file)),
            Err(TryLockError::WouldBlock) => {
                bail!("another process is recording to this file; choose another file")
            }
            // Some network file systems do not support locks.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Writer::to(file))
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    pub(super) fn write(&mut self, line: &impl serde::Serialize) -> io::Result<()> {
        let before = self.lines.len();
        if let Err(error) = serde_json::to_writer(&mut self.lines, line) {
            self.lines.truncate(before);
            return Err(error.into());
        }
        self.lines.push(b'\n');
        Ok(())
    }

    /// Writes the waiting lines as a whole. If the future is dropped, the write continues.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        self.output.write(take(&mut self.lines)).await
    }

    /// Waits a short time for the write in progress.
    ///
    /// # Errors
    /// The output cannot be written, or takes no more data.
    pub(super) async fn finish_soon(&mut self) -> io::Result<()> {
        self.output.finish_soon().await
    }
}

impl Existing {
    fn read(recording: &mut Recording<impl BufRead>) -> anyhow::Result<Existing> {
        let head = recording.head.clone();
        let mut existing = Existing { head, length: Duration::ZERO, last_event_id: String::new() };
        while let Some(line) = recording.next()? {
            existing.length = existing.length.max(line.at());
            if let Some(id) = line.entry.id() {
                id.clone_into(&mut existing.last_event_id);
            }
        }
        Ok(existing)
    }
}
