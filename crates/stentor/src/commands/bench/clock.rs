//! Time as a number.

use tokio::time::Instant;

/// Nanoseconds since the run began.
pub(super) type Nanos = u64;

/// A second.
pub(super) const SECOND: Nanos = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    begun: Instant,
}

impl Clock {
    pub(super) fn start() -> Clock {
        Clock { begun: Instant::now() }
    }

    pub(super) fn now(self) -> Nanos {
        self.begun.elapsed().as_nanos() as Nanos
    }
}
