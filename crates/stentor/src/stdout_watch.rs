//! Detects that the other end of stdout was closed.

use std::future::pending;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;
use tokio::time::timeout;

/// Maximum time in which the kernel reports a closed pipe.
const REPORT_TIME_MAX: Duration = Duration::from_millis(100);

/// Detects that the other end of stdout was closed, without writing to it. Otherwise
/// `stentor sub … | head -1` would wait for one more event.
pub(crate) struct StdoutWatch {
    /// `None` if stdout cannot be watched, for example because it is a file.
    stdout: Option<Sender>,
}

impl StdoutWatch {
    pub(crate) fn new() -> StdoutWatch {
        let stdout = io::stdout().as_fd().try_clone_to_owned();
        // The checked constructor would make the descriptor non-blocking, but other code writes to it.
        StdoutWatch { stdout: stdout.and_then(Sender::from_owned_fd_unchecked).ok() }
    }

    /// Returns a watch that never completes, for commands that do not write to stdout.
    pub(crate) fn disabled() -> StdoutWatch {
        StdoutWatch { stdout: None }
    }

    /// Waits until the other end of stdout is closed. Cancel safe.
    pub(crate) async fn closed(&self) {
        match &self.stdout {
            Some(stdout) if stdout.ready(Interest::ERROR).await.is_ok() => {}
            _ => pending().await,
        }
    }

    /// Returns `true` if the other end of stdout is closed. Takes up to [`REPORT_TIME_MAX`].
    pub(crate) async fn is_closed(&self) -> bool {
        timeout(REPORT_TIME_MAX, self.closed()).await.is_ok()
    }
}
