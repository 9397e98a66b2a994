//! Being asked to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Waits until the program is asked to stop.
pub(crate) async fn asked() -> io::Result<()> {
    Signals::listen(CancellationToken::new())?.one().await;
    Ok(())
}

/// The signals that ask a program to stop: SIGINT, as a terminal sends it for Ctrl-C, and SIGTERM.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    stop: CancellationToken,
}

impl Signals {
    /// Takes the signals from here on, within a runtime.
    pub(crate) fn listen(stop: CancellationToken) -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            stop,
        })
    }

    /// The first signal lets the work at hand be finished; a second one does not wait.
    pub(crate) async fn watch(mut self) {
        self.one().await;
        self.stop.cancel();
        self.one().await;
        std::process::exit(130);
    }

    async fn one(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
