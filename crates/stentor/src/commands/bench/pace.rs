//! What wakes the load: the time of the next event, and being asked to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mio::Waker;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::signals::Signals;

/// Events that are due within so short a time leave together.
const STEP_MIN: Duration = Duration::from_micros(100);

/// Wakes at a rate, more exactly than a poll can, which counts in milliseconds. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Pacer {
    is_over: Arc<AtomicBool>,
}

impl Pacer {
    pub(super) fn start(per_second: f64, waker: Arc<Waker>) -> Pacer {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = is_over.clone();
        let step = Duration::from_secs_f64(1.0 / per_second.max(1e-3)).max(STEP_MIN);
        let mut due = Instant::now();
        thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                let _ = waker.wake();
                due += step;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        Pacer { is_over }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Lets timers fire when they are due, instead of gathering what is due within 50 µs, as Linux does
/// unless told otherwise. Threads that begin later inherit it.
pub(super) fn be_punctual() {
    let _ = std::fs::write("/proc/self/timerslack_ns", "1000");
}

/// Is cancelled when the program is asked to stop; asked once more, it ends at once.
pub(super) fn asked_to_stop() -> anyhow::Result<CancellationToken> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = CancellationToken::new();
    let signals = {
        let _within = runtime.enter();
        Signals::listen(stop.clone())?
    };
    thread::spawn(move || runtime.block_on(signals.watch()));
    Ok(stop)
}
