//! The file of a recording.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

use super::line::{Head, Line};
use crate::output::print_message;

/// The bound of a line: an event of the greatest length, with every character escaped.
const LINE_BYTES_MAX: u64 = 128 << 20;

/// A recording that is read line by line.
pub(super) struct Recording<R> {
    input: R,
    pub(super) head: Head,
    line: u64,
    /// How many bytes the lines have that could be read.
    bytes: u64,
    /// Whether the last of them has its end.
    is_whole: bool,
}

impl<R: BufRead> Recording<R> {
    pub(super) fn new(mut input: R) -> anyhow::Result<Recording<R>> {
        let line = read_line(&mut input)?;
        let head = Head::read(&line)?;
        let is_whole = line.ends_with(b"\n");
        Ok(Recording { input, head, line: 1, bytes: line.len() as u64, is_whole })
    }

    /// The next line; `None` at the end, which may be in the middle of a line.
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
                print_message(format_args!("line {} is cut off, and left out", self.line));
                Ok(None)
            }
            Err(error) => Err(error.context(format!("line {} cannot be read", self.line))),
        }
    }
}

/// A line with its end, if it has one; empty at the end of the input.
fn read_line(input: &mut impl BufRead) -> anyhow::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.len() as u64 == LINE_BYTES_MAX {
        bail!("it is over {} MiB", LINE_BYTES_MAX >> 20);
    }
    Ok(line)
}

/// Opens a recording, `-` for stdin.
pub(super) fn open(path: &Path) -> anyhow::Result<Recording<Box<dyn BufRead>>> {
    let input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(path)?))
    };
    Recording::new(input)
}

/// Where the lines of a recording go, each as a whole and at once.
pub(super) struct Writer(Box<dyn Write>);

/// What is in a recording that goes on.
pub(super) struct Past {
    pub(super) head: Head,
    /// When its last line came, after its start.
    pub(super) length: Duration,
    pub(super) last_event_id: String,
}

impl Writer {
    pub(super) fn to(output: impl Write + 'static) -> Writer {
        Writer(Box::new(output))
    }

    /// To a file that is new or empty, or else to the end of it, if that is meant: then with what is
    /// in it, but for a line that was cut off.
    pub(super) fn open(path: &Path, is_append: bool) -> anyhow::Result<(Writer, Option<Past>)> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut writer = Writer::own(file.try_clone()?)?;
        if file.metadata()?.len() == 0 {
            return Ok((writer, None));
        }
        if !is_append {
            bail!("it has something in it; go on with it with --append, or name another");
        }
        let mut recording = Recording::new(BufReader::new(&file))?;
        let past = Past::read(&mut recording)?;
        file.set_len(recording.bytes)?;
        if !recording.is_whole {
            writer.0.write_all(b"\n")?;
        }
        Ok((writer, Some(past)))
    }

    fn own(file: File) -> anyhow::Result<Writer> {
        match file.try_lock() {
            Ok(()) => Ok(Writer::to(file)),
            Err(TryLockError::WouldBlock) => bail!("another recording goes into it"),
            // Some file systems of other machines have no locks.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Writer::to(file))
            }
            Err(TryLockError::Error(error)) => Err(error.into()),
        }
    }

    pub(super) fn write(&mut self, line: &impl serde::Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        self.0.write_all(&line)?;
        self.0.flush()
    }
}

impl Past {
    fn read(recording: &mut Recording<impl BufRead>) -> anyhow::Result<Past> {
        let head = recording.head.clone();
        let mut past = Past { head, length: Duration::ZERO, last_event_id: String::new() };
        while let Some(line) = recording.next()? {
            past.length = past.length.max(line.at());
            if let Some(id) = line.what.id() {
                id.clone_into(&mut past.last_event_id);
            }
        }
        Ok(past)
    }
}
