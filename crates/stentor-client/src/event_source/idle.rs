//! Idle timeout: detects a connection that is dead without being closed.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::keep_alives::KeepAlives;

/// The option that sets the idle timeout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IdleTimeout {
    /// Derived from the keep-alives that the server sends; none for a server that sends none.
    #[default]
    Automatic,
    After(Duration),
    Never,
}

/// Measures how long the source has been waiting for bytes.
///
/// Time in which the program does not poll the source does not count.
#[derive(Debug)]
pub(crate) struct IdleTimer {
    option: IdleTimeout,
    keep_alives: KeepAlives,
    sleep: Option<Pin<Box<Sleep>>>,
    /// The timeout of the current wait, while the source waits for bytes.
    waiting_for: Option<Duration>,
}

impl IdleTimer {
    pub(crate) fn new(option: IdleTimeout) -> Self {
        Self { option, keep_alives: KeepAlives::default(), sleep: None, waiting_for: None }
    }

    /// Stops the timer: bytes arrived, or the source no longer waits.
    pub(crate) fn stop(&mut self) {
        self.waiting_for = None;
    }

    /// Reports that a stream has opened. `now` is the time since a fixed moment.
    pub(crate) fn opened(&mut self, now: Duration) {
        self.keep_alives.opened(now);
    }

    /// Stops the timer: bytes arrived, which complete this comment if there is one.
    pub(crate) fn received(&mut self, comment: Option<&str>, now: Duration) {
        self.stop();
        self.keep_alives.received(comment, now);
    }

    /// Starts the timer if it is stopped. Ready, with the timeout, when the timer elapses.
    pub(crate) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let Some(timeout) = self.waiting_for.or_else(|| self.timeout()) else {
            return Poll::Pending;
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(timeout)));
        if self.waiting_for.is_none() {
            self.waiting_for = Some(timeout);
            sleep.as_mut().reset(Instant::now() + timeout);
        }
        sleep.as_mut().poll(cx).map(|()| {
            if self.option == IdleTimeout::Automatic {
                self.keep_alives.timed_out(timeout);
            }
            timeout
        })
    }

    fn timeout(&self) -> Option<Duration> {
        match self.option {
            IdleTimeout::Automatic => self.keep_alives.idle_timeout(),
            IdleTimeout::After(timeout) => Some(timeout),
            IdleTimeout::Never => None,
        }
    }
}
