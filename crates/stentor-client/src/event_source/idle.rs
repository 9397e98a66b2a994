//! Idle timeout: detects a connection that is dead without being closed.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Measures how long the source has been waiting for bytes.
///
/// Time in which the program does not poll the source does not count.
#[derive(Debug, Default)]
pub(crate) struct IdleTimer {
    timeout: Option<Duration>,
    sleep: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl IdleTimer {
    /// Creates a timer. With `None` it never elapses.
    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, ..Self::default() }
    }

    /// Stops the timer: bytes arrived, or the source no longer waits.
    pub(crate) fn stop(&mut self) {
        self.is_waiting = false;
    }

    /// Starts the timer if it is stopped. Ready, with the timeout, when the timer elapses.
    pub(crate) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let Some(timeout) = self.timeout else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(timeout)));
        if !self.is_waiting {
            self.is_waiting = true;
            sleep.as_mut().reset(Instant::now() + timeout);
        }
        sleep.as_mut().poll(cx).map(|()| timeout)
    }
}
