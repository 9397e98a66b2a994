//! Stops the connections of a server, in two steps.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// The two steps of a stop: first connections finish their current response, then those that take too
/// long are closed.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    /// Cancelled when connections are to finish.
    pub(crate) drained: CancellationToken,
    /// Cancelled when connections are closed. Never before `drained`.
    pub(crate) aborted: CancellationToken,
}

/// A step of the stop, as [`StopWatch::poll_step`] reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopStep {
    /// Nothing new.
    None,
    /// Reported once.
    Drained,
    Aborted,
}

impl Stop {
    pub(crate) fn watch(&self) -> StopWatch<'_> {
        let drained = Box::pin(self.drained.cancelled());
        StopWatch { stop: self, drained, aborted: None, flag: None }
    }
}

/// Watches for the steps of a stop. A connection polls it with every request, so a poll costs one
/// atomic load while the server runs.
pub(crate) struct StopWatch<'a> {
    stop: &'a Stop,
    drained: Pin<Box<WaitForCancellationFuture<'a>>>,
    aborted: Option<Pin<Box<WaitForCancellationFuture<'a>>>>,
    /// Registered with `drained` as its waker.
    flag: Option<Arc<WakeFlag>>,
}

/// Wakes a task, and remembers that it did.
struct WakeFlag {
    woken: AtomicBool,
    task: Waker,
}

impl Wake for WakeFlag {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl StopWatch<'_> {
    /// Returns the next step, and registers the task to be woken by it.
    pub(crate) fn poll_step(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> StopStep {
        if let Some(aborted) = &mut self.aborted {
            let is_aborted = aborted.as_mut().poll(cx).is_ready();
            return if is_aborted { StopStep::Aborted } else { StopStep::None };
        }
        let is_registered = self.flag.as_ref().is_some_and(|flag| {
            !flag.woken.load(Ordering::Acquire) && flag.task.will_wake(cx.waker())
        });
        if is_registered {
            return StopStep::None;
        }
        let flag = Arc::new(WakeFlag { woken: AtomicBool::new(false), task: cx.waker().clone() });
        let waker = Waker::from(Arc::clone(&flag));
        self.flag = Some(flag);
        if self.drained.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            return StopStep::None;
        }
        let mut aborted = Box::pin(self.stop.aborted.cancelled());
        let is_aborted = aborted.as_mut().poll(cx).is_ready();
        self.aborted = Some(aborted);
        if is_aborted { StopStep::Aborted } else { StopStep::Drained }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn both_steps_wake_a_watching_task() {
        let (drained, aborted) = (CancellationToken::new(), CancellationToken::new());
        let stop = Stop { drained: drained.clone(), aborted: aborted.clone() };
        let mut watch = pin!(stop.watch());
        let mut next = async || {
            let change = poll_fn(|cx| match watch.as_mut().poll_step(cx) {
                StopStep::None => Poll::Pending,
                changed => Poll::Ready(changed),
            });
            timeout(Duration::from_secs(10), change).await
        };
        assert!(next().await.is_err(), "nothing has happened");
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drained.cancel();
            tokio::time::sleep(Duration::from_secs(15)).await;
            aborted.cancel();
        });
        assert_eq!(next().await, Ok(StopStep::Drained));
        assert!(next().await.is_err(), "reported once");
        assert_eq!(next().await, Ok(StopStep::Aborted));
    }
}
