//! The time since boot.

#[cfg(any(test, feature = "testing"))]
use std::cell::Cell;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The clock that also runs while the machine is suspended.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
/// On macOS this clock runs while the machine is suspended. Elsewhere, waking up can look like a jump of the system
/// clock, which removes nothing.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

/// Returns the time since boot that the machine was running or suspended. With a simulated clock it is the time of that
/// clock since it was started.
pub(crate) fn uptime() -> Duration {
    #[cfg(feature = "testing")]
    if let Some(elapsed) = crate::timestamp::simulated_uptime() {
        return elapsed;
    }
    let time = clock_gettime(CLOCK);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let uptime = Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default());
    #[cfg(any(test, feature = "testing"))]
    let uptime = uptime + ADVANCED.get();
    uptime
}

#[cfg(any(test, feature = "testing"))]
thread_local! {
    /// Time that tests have added to the uptime of this thread.
    static ADVANCED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Lets `time` pass for [`uptime`] on this thread.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn advance_uptime(time: Duration) {
    ADVANCED.set(ADVANCED.get().saturating_add(time));
}
