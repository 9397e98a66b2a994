//! Writes output in a thread, so that a full pipe does not block the command.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::event::{self, PollFd, PollFlags, Timespec};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Time that a command that stops gives its output to take the current event.
pub(crate) const FINISH_TIME: Duration = Duration::from_millis(500);

/// Size of a write that a pipe with room takes whole: the smallest of all systems with large pipes (`PIPE_BUF`).
const SMALL_BYTES: usize = 4096;

/// Maximum number of unread bytes in a pipe that certainly has room: half of the usual size. Another process that
/// writes to the same pipe cannot fill the other half in the meantime.
const UNREAD_BYTES_MAX: u64 = 32 << 10;

/// Writes to an output that can block, such as a pipe with a slow reader.
///
/// At most one write is in progress. The thread ends with this value, or with the process if its write blocks.
pub(crate) struct OutputThread {
    /// The output, if it is a pipe. A small write to a pipe with room does not need the thread.
    pipe: Option<File>,
    /// `None` if the thread could not be started.
    writes: Option<mpsc::SyncSender<OutputWrite>>,
    /// The result of the write in progress.
    in_progress: Option<oneshot::Receiver<io::Result<()>>>,
}

struct OutputWrite {
    bytes: Vec<u8>,
    done: oneshot::Sender<io::Result<()>>,
}

impl OutputThread {
    /// Starts the thread.
    pub(crate) fn new(output: impl Write + Send + 'static) -> OutputThread {
        let (writes, waiting) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("output".to_owned());
        let started = thread.spawn(move || write_all(output, &waiting));
        OutputThread { pipe: None, writes: started.ok().map(|_| writes), in_progress: None }
    }

    /// Starts the thread for stdout.
    pub(crate) fn stdout() -> OutputThread {
        let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from).ok();
        let is_pipe = |file: &File| file.metadata().is_ok_and(|file| file.file_type().is_fifo());
        OutputThread { pipe: stdout.filter(is_pipe), ..OutputThread::new(io::stdout()) }
    }

    /// Writes the bytes and flushes the output.
    ///
    /// If the future is dropped, the write continues; [`finish`](Self::finish) waits for it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) async fn write(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.finish().await?;
        if let Some(pipe) = &mut self.pipe
            && bytes.len() <= SMALL_BYTES
            && has_room(pipe)
        {
            return pipe.write_all(&bytes);
        }
        let (done, result) = oneshot::channel();
        let sent = self.writes.as_ref().map(|writes| writes.try_send(OutputWrite { bytes, done }));
        if !matches!(sent, Some(Ok(()))) {
            return Err(io::Error::other("cannot start a thread for the output"));
        }
        self.in_progress = Some(result);
        self.finish().await
    }

    /// Waits for the write in progress. Cancel safe.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) async fn finish(&mut self) -> io::Result<()> {
        let Some(result) = &mut self.in_progress else { return Ok(()) };
        let result = result.await;
        self.in_progress = None;
        result.unwrap_or_else(|_| Err(io::Error::other("the thread of the output failed")))
    }

    /// Waits for the write in progress, but at most for [`FINISH_TIME`].
    ///
    /// # Errors
    /// The output cannot be written, or does not take the rest in time.
    pub(crate) async fn finish_soon(&mut self) -> io::Result<()> {
        let seconds = FINISH_TIME.as_secs_f32();
        timeout(FINISH_TIME, self.finish()).await.unwrap_or_else(|_| {
            let text =
                format!("it took no more data for {seconds} s, so the last event is incomplete");
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })
    }
}

fn has_room(pipe: &File) -> bool {
    let mut poll = [PollFd::new(pipe, PollFlags::OUT)];
    let is_ready = event::poll(&mut poll, Some(&Timespec::default())).is_ok_and(|ready| ready > 0);
    is_ready && rustix::io::ioctl_fionread(pipe).is_ok_and(|unread| unread <= UNREAD_BYTES_MAX)
}

fn write_all(mut output: impl Write, writes: &mpsc::Receiver<OutputWrite>) {
    while let Ok(OutputWrite { bytes, done }) = writes.recv() {
        let written = output.write_all(&bytes).and_then(|()| output.flush());
        // Fails if the command stops without waiting for the result.
        let _ = done.send(written);
    }
}
