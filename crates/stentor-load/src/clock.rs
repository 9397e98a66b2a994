//! Time as a number of nanoseconds.

use tokio::time::Instant;

/// Nanoseconds since the start of the run.
pub(crate) type Nanos = u64;

/// One second.
pub(crate) const SECOND: Nanos = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    pub(crate) fn now(self) -> Nanos {
        self.started.elapsed().as_nanos() as Nanos
    }
}
