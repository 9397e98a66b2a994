//! Wakers that only note what has to be polled.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// The wakers of a connection and of its streams.
pub(crate) struct Wakers {
    connection: Waker,
    is_awake: Arc<ConnectionFlag>,
    streams: Vec<Waker>,
    awake: Arc<AwakeSlots>,
}

#[derive(Default)]
struct ConnectionFlag(AtomicBool);

/// Slots of streams that were woken. A stream is woken at most once between two polls, so each slot occurs at most
/// once.
#[derive(Default)]
struct AwakeSlots(Mutex<Vec<usize>>);

struct StreamWaker {
    slot: usize,
    awake: Arc<AwakeSlots>,
}

impl Wakers {
    pub(crate) fn new(slots: usize) -> Wakers {
        let is_awake = Arc::new(ConnectionFlag::default());
        let awake = Arc::new(AwakeSlots::default());
        let stream = |slot| Waker::from(Arc::new(StreamWaker { slot, awake: awake.clone() }));
        Wakers {
            connection: Waker::from(is_awake.clone()),
            is_awake,
            streams: (0..slots).map(stream).collect(),
            awake,
        }
    }

    pub(crate) fn connection(&self) -> &Waker {
        &self.connection
    }

    pub(crate) fn stream(&self, slot: usize) -> Option<&Waker> {
        self.streams.get(slot)
    }

    pub(crate) fn wake_connection(&self) {
        self.is_awake.0.store(true, Ordering::Relaxed);
    }

    /// Returns `true` if the connection was woken since the last call.
    pub(crate) fn take_connection(&self) -> bool {
        self.is_awake.0.swap(false, Ordering::Relaxed)
    }

    /// Swaps the slots woken since the last call with `out`, which is empty.
    pub(crate) fn take_streams(&self, out: &mut Vec<usize>) {
        std::mem::swap(&mut *self.awake.0.lock().unwrap_or_else(PoisonError::into_inner), out);
    }
}

impl Wake for ConnectionFlag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.awake.0.lock().unwrap_or_else(PoisonError::into_inner).push(self.slot);
    }
}
