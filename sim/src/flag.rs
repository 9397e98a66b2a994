//! A waker that sets a flag, for futures that the simulator polls itself.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// A future that is polled when the simulator decides to, and only after it was woken.
pub(crate) struct Task<T> {
    future: Pin<Box<dyn Future<Output = T>>>,
    flag: Arc<Flag>,
    waker: Waker,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<T> Task<T> {
    /// Creates a task that is ready to be polled.
    pub(crate) fn new(future: impl Future<Output = T> + 'static) -> Task<T> {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(Arc::clone(&flag));
        Task { future: Box::pin(future), flag, waker }
    }

    /// Returns `true` if it was woken since the last poll.
    pub(crate) fn is_woken(&self) -> bool {
        self.flag.0.load(Ordering::Relaxed)
    }

    /// Polls the future once.
    pub(crate) fn poll(&mut self) -> Option<T> {
        self.flag.0.store(false, Ordering::Relaxed);
        match self.future.as_mut().poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
}

/// A flag for a function that takes a waker, such as `Consumer::poll_woken`.
pub(crate) struct Signal {
    flag: Arc<Flag>,
    waker: Waker,
}

impl Signal {
    /// Creates a signal that is set.
    pub(crate) fn new() -> Signal {
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        Signal { waker: Waker::from(Arc::clone(&flag)), flag }
    }

    /// A context with the waker that sets it.
    pub(crate) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    /// Returns `true` if it is set.
    pub(crate) fn is_set(&self) -> bool {
        self.flag.0.load(Ordering::Relaxed)
    }

    /// Resets it.
    pub(crate) fn reset(&self) {
        self.flag.0.store(false, Ordering::Relaxed);
    }
}

impl Default for Signal {
    fn default() -> Signal {
        Signal::new()
    }
}
