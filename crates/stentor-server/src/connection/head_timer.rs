//! The timeout of request heads: one timer for each connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use tokio::time::{self, Instant};

#[expect(clippy::disallowed_types, reason = "hyper's trait requires it")]
type StdInstant = std::time::Instant;

/// The timer that hyper uses for one connection.
///
/// hyper creates a sleep for each head and drops it when the head is complete. These sleeps only hold
/// their deadlines. The one timer of the runtime is set when a sleep is first polled, and reset only when
/// it fires before the current deadline. So a busy connection does not touch the runtime's timers.
#[derive(Debug, Default)]
pub(crate) struct HeadTimer(Shared);

type Shared = Arc<Mutex<Option<Clock>>>;

#[derive(Debug)]
struct Clock {
    sleep: Pin<Box<time::Sleep>>,
    /// The task that it wakes.
    waker: Waker,
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: StdInstant) -> Pin<Box<dyn Sleep>> {
        Box::pin(HeadSleep { deadline: deadline.into(), shared: Arc::clone(&self.0) })
    }

    fn now(&self) -> StdInstant {
        Instant::now().into_std()
    }
}

struct HeadSleep {
    deadline: Instant,
    shared: Shared,
}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let Clock { sleep, waker } = shared.get_or_insert_with(|| Clock {
            sleep: Box::pin(time::sleep_until(self.deadline)),
            waker: Waker::noop().clone(),
        });
        if sleep.deadline() > self.deadline {
            sleep.as_mut().reset(self.deadline);
        } else if !sleep.is_elapsed() && waker.will_wake(cx.waker()) {
            // It already runs for this task.
            return Poll::Pending;
        }
        waker.clone_from(cx.waker());
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(self.deadline);
        }
    }
}

impl Sleep for HeadSleep {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_head_gets_the_full_time() {
        let timer = HeadTimer::default();
        let (begun, limit) = (Instant::now(), Duration::from_secs(30));
        for seconds in [10, 25] {
            let first = time::timeout(Duration::from_secs(seconds), timer.sleep(limit)).await;
            assert!(first.is_err(), "the head arrived in time");
        }
        timer.sleep(limit).await;
        assert_eq!(begun.elapsed().as_secs(), 10 + 25 + 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_sleep_does_not_wait_for_a_longer_one() {
        let timer = HeadTimer::default();
        let begun = Instant::now();
        let _ = time::timeout(Duration::from_secs(1), timer.sleep(Duration::from_secs(30))).await;
        timer.sleep(Duration::from_secs(2)).await;
        assert_eq!(begun.elapsed().as_secs(), 3);
    }
}
