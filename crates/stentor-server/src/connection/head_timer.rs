//! The timeouts of request heads and of idle connections: one timer for each connection.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use hyper::rt::{Sleep, Timer};
use tokio::time::{self, Instant};

#[expect(clippy::disallowed_types, reason = "hyper's trait requires it")]
type StdInstant = std::time::Instant;

/// Maximum time for a request head, counted from its first byte.
pub(super) const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// The timer that hyper uses for one connection. Clones share one state.
///
/// hyper asks for the time until a head is complete, and gets the time for which the connection may be idle. Once a
/// byte has arrived, the head has at most [`HEAD_TIME_MAX`].
///
/// hyper creates a sleep for each head and drops it when the head is complete. These sleeps only hold
/// their deadlines. The one timer of the runtime is set when a sleep is first polled, and reset only when
/// it fires before the current deadline. So a busy connection does not touch the runtime's timers.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadTimer(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// `true` if input has arrived since hyper began to wait for the current head.
    has_input: AtomicBool,
    clock: Mutex<Option<Clock>>,
}

impl HeadTimer {
    /// Reports input of the connection.
    pub(crate) fn note_input(&self) {
        self.0.has_input.store(true, Ordering::Relaxed);
    }
}

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
        self.0.has_input.store(false, Ordering::Relaxed);
        let shared = Arc::clone(&self.0);
        Box::pin(HeadSleep { deadline: deadline.into(), has_begun: false, shared })
    }

    fn now(&self) -> StdInstant {
        Instant::now().into_std()
    }
}

struct HeadSleep {
    deadline: Instant,
    /// `true` once the first byte of the head has arrived.
    has_begun: bool,
    shared: Arc<Shared>,
}

impl Future for HeadSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if !this.has_begun && this.shared.has_input.load(Ordering::Relaxed) {
            this.has_begun = true;
            this.deadline = this.deadline.min(Instant::now() + HEAD_TIME_MAX);
        }
        let mut clock = this.shared.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let Clock { sleep, waker } = clock.get_or_insert_with(|| Clock {
            sleep: Box::pin(time::sleep_until(this.deadline)),
            waker: Waker::noop().clone(),
        });
        if sleep.deadline() > this.deadline {
            sleep.as_mut().reset(this.deadline);
        } else if !sleep.is_elapsed() && waker.will_wake(cx.waker()) {
            // It already runs for this task.
            return Poll::Pending;
        }
        waker.clone_from(cx.waker());
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= this.deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(this.deadline);
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
    async fn the_time_of_a_head_counts_from_its_first_byte() {
        let timer = HeadTimer::default();
        let (begun, idle) = (Instant::now(), Duration::from_secs(75));
        timer.note_input();
        let mut head = timer.sleep(idle);
        let quiet = time::timeout(Duration::from_secs(40), &mut head).await;
        assert!(quiet.is_err(), "the input was that of the last request");
        timer.note_input();
        head.await;
        assert_eq!(begun.elapsed(), Duration::from_secs(40) + HEAD_TIME_MAX);
        let mut late = timer.sleep(idle);
        assert!(time::timeout(Duration::from_secs(70), &mut late).await.is_err());
        timer.note_input();
        late.await;
        assert_eq!(begun.elapsed(), Duration::from_secs(40 + 75) + HEAD_TIME_MAX);
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
