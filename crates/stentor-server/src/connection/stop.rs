//! The end of the server, as its connections see it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Two steps: connections finish what they are at, and those that take too long are left.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) begun: CancellationToken,
    /// Never before `begun`.
    pub(crate) abandoned: CancellationToken,
}

/// How far that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopping {
    No,
    /// Said once.
    Begun,
    Abandoned,
}

impl Stop {
    pub(crate) fn watch(&self) -> Watch<'_> {
        let begun = Box::pin(self.begun.cancelled());
        Watch { stop: self, begun, abandoned: None, alarm: None }
    }
}

/// An eye on the end that costs next to nothing while there is none: a connection is woken with every
/// request, and by the end once at most.
pub(crate) struct Watch<'a> {
    stop: &'a Stop,
    begun: Pin<Box<WaitForCancellationFuture<'a>>>,
    abandoned: Option<Pin<Box<WaitForCancellationFuture<'a>>>>,
    /// What is told of the beginning of the end.
    alarm: Option<Arc<Alarm>>,
}

/// Wakes a task, and tells it why.
struct Alarm {
    rung: AtomicBool,
    task: Waker,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Watch<'_> {
    pub(crate) fn poll_stop(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Stopping {
        if let Some(abandoned) = &mut self.abandoned {
            let is_over = abandoned.as_mut().poll(cx).is_ready();
            return if is_over { Stopping::Abandoned } else { Stopping::No };
        }
        let is_quiet = self.alarm.as_ref().is_some_and(|alarm| {
            !alarm.rung.load(Ordering::Acquire) && alarm.task.will_wake(cx.waker())
        });
        if is_quiet {
            return Stopping::No;
        }
        let alarm = Arc::new(Alarm { rung: AtomicBool::new(false), task: cx.waker().clone() });
        let waker = Waker::from(Arc::clone(&alarm));
        self.alarm = Some(alarm);
        if self.begun.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            return Stopping::No;
        }
        let mut abandoned = Box::pin(self.stop.abandoned.cancelled());
        let is_over = abandoned.as_mut().poll(cx).is_ready();
        self.abandoned = Some(abandoned);
        if is_over { Stopping::Abandoned } else { Stopping::Begun }
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
    async fn both_steps_wake_who_watches() {
        let (begun, abandoned) = (CancellationToken::new(), CancellationToken::new());
        let end = Stop { begun: begun.clone(), abandoned: abandoned.clone() };
        let mut watch = pin!(end.watch());
        let mut step = async || {
            let next = poll_fn(|cx| match watch.as_mut().poll_stop(cx) {
                Stopping::No => Poll::Pending,
                step => Poll::Ready(step),
            });
            timeout(Duration::from_secs(10), next).await
        };
        assert!(step().await.is_err(), "nothing has happened");
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            begun.cancel();
            tokio::time::sleep(Duration::from_secs(15)).await;
            abandoned.cancel();
        });
        assert_eq!(step().await, Ok(Stopping::Begun));
        assert!(step().await.is_err(), "said once");
        assert_eq!(step().await, Ok(Stopping::Abandoned));
    }
}
