//! Waiting for the events that wake an idle shard.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use stentor_hub::Consumer;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Sleep, sleep_until};

/// Waits for the events that wake an idle shard.
pub(super) struct Waiter {
    epoll: AsyncFd<RawFd>,
    timer: Pin<Box<Sleep>>,
    sockets_ready: bool,
}

impl Waiter {
    pub(super) fn new(shard: &impl AsRawFd) -> io::Result<Waiter> {
        // The shard owns the descriptor and outlives this: both are fields of `ShardRun`, which drops
        // this first.
        #[allow(deprecated, reason = "the replacement needs `unsafe`")]
        let epoll = AsyncFd::with_interest(shard.as_raw_fd(), tokio::io::Interest::READABLE)?;
        let timer = Box::pin(sleep_until(Instant::now()));
        Ok(Waiter { epoll, timer, sockets_ready: true })
    }

    /// Returns `true`, once, if sockets have become ready.
    pub(super) fn take_ready(&mut self) -> bool {
        std::mem::take(&mut self.sockets_ready)
    }

    /// Waits for records, for a socket, or until `until`.
    pub(super) async fn wait(
        &mut self,
        consumer: &Consumer,
        until: Option<Instant>,
    ) -> io::Result<()> {
        if let Some(until) = until
            && until != self.timer.deadline()
        {
            self.timer.as_mut().reset(until);
        }
        poll_fn(|cx| {
            if self.poll_sockets(cx)? {
                return Poll::Ready(Ok(()));
            }
            let timer = until.is_some() && self.timer.as_mut().poll(cx).is_ready();
            if timer || consumer.poll_woken(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            Poll::Pending
        })
        .await
    }

    fn poll_sockets(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        while let Poll::Ready(guard) = self.epoll.poll_read_ready(cx) {
            // Cleared before the shard reads its events: later events wake this again.
            guard?.clear_ready();
            self.sockets_ready = true;
        }
        Ok(self.sockets_ready)
    }
}
