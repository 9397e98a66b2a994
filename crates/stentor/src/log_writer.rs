//! The log of a server on stderr, which never blocks the server.
//!
//! Stderr can be a full disk, a pipe that nothing reads, or closed. A thread of its own writes the lines, from a
//! bounded queue. Lines that do not fit, or cannot be written, are dropped and counted.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

/// Maximum number of lines that wait to be written.
const LINES_MAX: usize = 512;
/// Maximum number of bytes of a line. The rest is cut off.
const LINE_BYTES_MAX: usize = 4 << 10;
/// Maximum time that the end of the program waits for the last lines, once they are in the queue.
const FLUSH_TIME_MAX: Duration = Duration::from_secs(1);
/// Maximum number of tries to put the last request into the queue, each after a [`RETRY_PAUSE`].
const FLUSH_TRIES_MAX: usize = 100;
/// Pause before the next try, if stderr is in non-blocking mode and has no room.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// The log of this process. Only a command that serves starts it.
static LOG: OnceLock<LogWriter> = OnceLock::new();

/// The sender of log lines. Clones share one queue.
#[derive(Clone, Debug)]
pub(crate) struct LogWriter {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Message {
    Line(Vec<u8>),
    /// All earlier lines are written when the sender is dropped.
    Flush(SyncSender<()>),
}

impl LogWriter {
    /// Starts the log of this process. Later calls return the same log.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start() -> io::Result<&'static LogWriter> {
        if let Some(log) = LOG.get() {
            return Ok(log);
        }
        let log = LogWriter::to(io::stderr())?;
        Ok(LOG.get_or_init(|| log))
    }

    /// Returns the log of this process, if it was started.
    pub(crate) fn get() -> Option<&'static LogWriter> {
        LOG.get()
    }

    /// Starts a thread that writes to `output`.
    fn to(output: impl Write + Send + 'static) -> io::Result<LogWriter> {
        let (queue, lines) = mpsc::sync_channel(LINES_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        let log = LogWriter { queue, dropped: Arc::clone(&dropped) };
        // It ends with the process. `flush` waits for it.
        let thread = thread::Builder::new().name("log-writer".to_owned());
        thread.spawn(move || write_lines(output, &lines, &dropped))?;
        Ok(log)
    }

    /// Writes a line, without waiting. `line` ends with a line break.
    pub(crate) fn line(&self, mut line: Vec<u8>) {
        if line.len() > LINE_BYTES_MAX {
            line.truncate(LINE_BYTES_MAX);
            line.extend("…\n".as_bytes());
        }
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send(Message::Line(line))
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the counter of dropped lines.
    pub(crate) fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Waits until all lines are written, for at most two seconds.
    pub(crate) fn flush(&self) {
        let (done, written) = mpsc::sync_channel(0);
        let mut flush = Message::Flush(done);
        for _ in 0..FLUSH_TRIES_MAX {
            match self.queue.try_send(flush) {
                Err(TrySendError::Full(unsent)) => flush = unsent,
                sent => {
                    if sent.is_ok() {
                        // An error is the end of the wait: all lines are written, or the time is over.
                        let _ = written.recv_timeout(FLUSH_TIME_MAX);
                    }
                    return;
                }
            }
            thread::sleep(RETRY_PAUSE);
        }
    }
}

/// Collects what `tracing` writes for one event. It is one line, or several for a panic.
impl Write for &LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the lines of a queue until its senders are gone.
fn write_lines(mut output: impl Write, lines: &Receiver<Message>, dropped: &AtomicU64) {
    let mut reported = 0;
    for message in lines {
        let line = match message {
            Message::Line(line) => line,
            Message::Flush(done) => {
                drop(done);
                continue;
            }
        };
        if let Err(_unwritable) = write_all(&mut output, &line) {
            dropped.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let now = dropped.load(Ordering::Relaxed);
        if now > reported {
            let note = format!("stentor: {} log lines were dropped\n", now - reported);
            if write_all(&mut output, note.as_bytes()).is_ok() {
                reported = now;
            }
        }
    }
}

/// Writes all of `bytes`, also to an output in non-blocking mode.
fn write_all(output: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Sender;
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// An output that writes only while it is open, and blocks or fails otherwise.
    #[derive(Clone, Default)]
    struct Output {
        text: Arc<Mutex<Vec<u8>>>,
        is_full: Arc<Mutex<bool>>,
    }

    impl Output {
        fn text(&self) -> String {
            let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8(text.clone()).unwrap()
        }
    }

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if *self.is_full.lock().unwrap() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.text.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An output that blocks until the sender is dropped.
    struct Blocked(Receiver<()>);

    impl Write for Blocked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted_and_reported_when_there_is_room() {
        let output = Output::default();
        let log = LogWriter::to(output.clone()).unwrap();
        log.line(b"one\n".to_vec());
        log.flush();
        *output.is_full.lock().unwrap() = true;
        log.line(b"two\n".to_vec());
        log.line(b"three\n".to_vec());
        log.flush();
        assert_eq!(log.dropped().load(Ordering::Relaxed), 2);
        *output.is_full.lock().unwrap() = false;
        log.line(b"four\n".to_vec());
        log.line(vec![b'x'; LINE_BYTES_MAX + 1]);
        log.flush();
        let text = output.text();
        assert!(text.starts_with("one\nfour\nstentor: 2 log lines were dropped\nxxx"), "{text}");
        assert!(text.ends_with("x…\n") && text.len() < 2 * LINE_BYTES_MAX, "{}", text.len());
    }

    #[test]
    fn a_log_that_blocks_drops_lines_and_does_not_block_its_callers() {
        let (open, closed): (Sender<()>, _) = mpsc::channel();
        let log = LogWriter::to(Blocked(closed)).unwrap();
        for _ in 0..2 * LINES_MAX {
            log.line(b"line\n".to_vec());
        }
        let dropped = log.dropped().load(Ordering::Relaxed);
        assert!((LINES_MAX as u64 - 1..=LINES_MAX as u64).contains(&dropped), "{dropped}");
        // It gives up.
        log.flush();
        drop(open);
    }
}
