//! Noticing a connection that is dead without saying so.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// Measures how long a reader has been waiting in vain. Time in which nobody waits (a slow consumer)
/// does not count.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    limit: Option<Duration>,
    sleep: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl Idle {
    /// With `None` no wait is too long.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { limit, ..Self::default() }
    }

    /// The wait was not in vain, or is over.
    pub(crate) fn stop(&mut self) {
        self.is_waiting = false;
    }

    /// Waits on; ready, with the limit, when that has been going on for too long.
    pub(crate) fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let Some(limit) = self.limit else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.is_waiting {
            self.is_waiting = true;
            sleep.as_mut().reset(Instant::now() + limit);
        }
        sleep.as_mut().poll(cx).map(|()| limit)
    }
}
