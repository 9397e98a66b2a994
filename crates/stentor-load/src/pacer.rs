//! A thread that wakes the poll when the next event is due.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use mio::Waker;
use tokio::time::Instant;

/// Shortest time between two wake-ups. Events that are due within it are sent together.
const STEP_MIN: Duration = Duration::from_micros(100);

/// Wakes a poll at a fixed rate, until it is dropped. A poll timeout has a resolution of 1 ms, which is too coarse.
#[derive(Debug)]
pub(crate) struct Pacer {
    is_over: Arc<AtomicBool>,
}

impl Pacer {
    pub(crate) fn start(per_second: f64, waker: Arc<Waker>) -> Pacer {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = is_over.clone();
        let step = Duration::from_secs_f64(1.0 / per_second.max(1e-3)).max(STEP_MIN);
        let mut due = Instant::now();
        thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                // If the poll cannot be woken, its own timeout bounds the delay.
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

/// Makes timers of this thread, and of threads it starts later, fire on time.
///
/// By default Linux may delay a timer by 50 µs to fire several together. No effect on other systems.
pub(crate) fn use_precise_timers() {
    let _ = std::fs::write("/proc/self/timerslack_ns", "1000");
}
