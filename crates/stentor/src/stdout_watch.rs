//! Whether anybody still reads stdout.

use std::future::pending;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;
use tokio::time::timeout;

/// How long the news of a reader's leave may take.
const NEWS_TIME_MAX: Duration = Duration::from_millis(100);

/// Learns that the reader of stdout has left without having to write to it, so that
/// `stentor sub … | head -1` does not wait for one event more.
pub(crate) struct StdoutWatch {
    /// If it can be watched: a file has no reader.
    stdout: Option<Sender>,
}

impl StdoutWatch {
    pub(crate) fn new() -> StdoutWatch {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        // Unchecked leaves it blocking, for it is only watched here and written to elsewhere.
        StdoutWatch { stdout: stdout.and_then(Sender::from_owned_fd_unchecked).ok() }
    }

    /// Watches nothing: whether anybody reads does not matter.
    pub(crate) fn disabled() -> StdoutWatch {
        StdoutWatch { stdout: None }
    }

    /// Waits until the reader has left.
    pub(crate) async fn closed(&self) {
        match &self.stdout {
            Some(stdout) if stdout.ready(Interest::ERROR).await.is_ok() => {}
            _ => pending().await,
        }
    }

    /// Whether the reader has left.
    pub(crate) async fn is_closed(&self) -> bool {
        timeout(NEWS_TIME_MAX, self.closed()).await.is_ok()
    }
}
