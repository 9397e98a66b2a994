//! The end of the server, as its connections see it.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

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
        Watch { stop: self, begun: Box::pin(self.begun.cancelled()), abandoned: None, waker: None }
    }
}

/// An eye on the end that costs next to nothing while there is none: a connection is woken with every
/// request, and by the end once at most.
pub(crate) struct Watch<'a> {
    stop: &'a Stop,
    begun: Pin<Box<WaitForCancellationFuture<'a>>>,
    abandoned: Option<Pin<Box<WaitForCancellationFuture<'a>>>>,
    /// Who is woken by the beginning of the end.
    waker: Option<Waker>,
}

impl Watch<'_> {
    pub(crate) fn poll_stop(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Stopping {
        if let Some(abandoned) = &mut self.abandoned {
            let is_over = abandoned.as_mut().poll(cx).is_ready();
            return if is_over { Stopping::Abandoned } else { Stopping::No };
        }
        let is_known = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_known && !self.stop.begun.is_cancelled() {
            return Stopping::No;
        }
        self.waker = Some(cx.waker().clone());
        match self.begun.as_mut().poll(cx) {
            Poll::Pending => Stopping::No,
            Poll::Ready(()) => {
                let mut abandoned = Box::pin(self.stop.abandoned.cancelled());
                let is_over = abandoned.as_mut().poll(cx).is_ready();
                self.abandoned = Some(abandoned);
                if is_over { Stopping::Abandoned } else { Stopping::Begun }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
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
            tokio::time::sleep(Duration::from_secs(20)).await;
            abandoned.cancel();
        });
        assert_eq!(step().await, Ok(Stopping::Begun));
        assert!(step().await.is_err(), "said once");
        assert_eq!(step().await, Ok(Stopping::Abandoned));
    }
}
