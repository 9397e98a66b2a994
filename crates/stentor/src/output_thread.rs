//! Writes output in a thread, so that a full pipe does not block the command.

use std::io::{self, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Time that a command that stops gives its output to take the current event.
pub(crate) const FINISH_TIME: Duration = Duration::from_millis(500);

/// Writes to an output that can block, such as a pipe that nobody reads.
///
/// At most one write is in progress. The thread ends with this value, or with the process if its write blocks.
pub(crate) struct OutputThread {
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
        OutputThread { writes: started.ok().map(|_| writes), in_progress: None }
    }

    /// Writes the bytes and flushes the output.
    ///
    /// If the future is dropped, the write continues; [`finish`](Self::finish) waits for it.
    ///
    /// # Errors
    /// The output cannot be written.
    pub(crate) async fn write(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.finish().await?;
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

fn write_all(mut output: impl Write, writes: &mpsc::Receiver<OutputWrite>) {
    while let Ok(OutputWrite { bytes, done }) = writes.recv() {
        let written = output.write_all(&bytes).and_then(|()| output.flush());
        // Fails if the command stops without waiting for the result.
        let _ = done.send(written);
    }
}
