//! Signals that ask the program to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code after a second signal: 128 plus the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Waits for SIGINT or SIGTERM.
///
/// # Errors
/// The handlers cannot be installed.
pub(crate) async fn stop_requested() -> io::Result<()> {
    Signals::listen(CancellationToken::new())?.next().await;
    Ok(())
}

/// SIGINT, which a terminal sends for Ctrl-C, and SIGTERM.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    stop: CancellationToken,
}

impl Signals {
    /// Installs the handlers. Needs the context of a runtime.
    pub(crate) fn listen(stop: CancellationToken) -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            stop,
        })
    }

    /// Cancels the token at the first signal, so that current work can finish; exits the process at the second. Never
    /// returns `Ok`.
    pub(crate) async fn watch(mut self) -> io::Result<()> {
        if !self.stop.is_cancelled() {
            self.next().await;
            self.stop.cancel();
        }
        self.next().await;
        std::process::exit(INTERRUPTED);
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
