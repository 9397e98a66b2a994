//! Connections over HTTP/2 without open streams.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Instant, Sleep, sleep};

use super::stalled::StreamExecutor;

/// The open streams of a connection. Clones share one count.
#[derive(Clone, Debug)]
pub(super) struct OpenStreams(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    open: usize,
    /// The time since which no stream is open.
    idle_since: Instant,
}

impl OpenStreams {
    pub(super) fn new() -> OpenStreams {
        OpenStreams(Arc::new(Mutex::new(State { open: 0, idle_since: Instant::now() })))
    }

    fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn open(&self) -> OpenStream {
        self.update(|state| state.open += 1);
        OpenStream(self.clone())
    }

    /// Returns the time since which no stream is open, or `None` if one is.
    fn idle_since(&self) -> Option<Instant> {
        self.update(|state| (state.open == 0).then_some(state.idle_since))
    }
}

/// One open stream, until it is dropped.
struct OpenStream(OpenStreams);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.update(|state| {
            state.open -= 1;
            state.idle_since = Instant::now();
        });
    }
}

/// Counts the streams of a connection. hyper gives each one to the executor as a future.
#[derive(Clone, Debug)]
pub(super) struct CountingExecutor(pub(super) OpenStreams);

impl<F> Executor<F> for CountingExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let open = self.0.open();
        StreamExecutor.execute(async move {
            stream.await;
            drop(open);
        });
    }
}

/// Measures the time for which a connection has no open stream.
#[derive(Debug)]
pub(super) struct IdleTimer {
    streams: OpenStreams,
    timeout: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl IdleTimer {
    pub(super) fn new(streams: OpenStreams, timeout: Duration) -> IdleTimer {
        IdleTimer { streams, timeout, sleep: Box::pin(sleep(timeout)) }
    }

    /// Returns `Ready` once the connection was idle for the timeout. Busy connections cost one wake-up in each
    /// timeout.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.sleep.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let end = self.streams.idle_since().unwrap_or(now) + self.timeout;
            if end <= now {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(end);
        }
        Poll::Pending
    }
}
