//! Captures a stream while other tasks wait for its content.

use std::time::Duration;

use reqwest::Response;
use tokio::sync::watch::Sender;
use tokio::time::timeout;

use super::capture::{Capture, EndReason};
use super::endpoint::{OpenResponse, cause};

#[derive(Debug)]
pub(super) struct Watch(Sender<Capture>);

impl Watch {
    /// Starts a capture, at the time of the response head.
    pub(super) fn new() -> Watch {
        Watch(Sender::new(Capture::new()))
    }

    /// Captures the body until it ends, or `enough` completes.
    pub(super) async fn capture(&self, mut response: Response, enough: impl Future<Output = ()>) {
        let all = async {
            while !self.look(Capture::is_over) {
                match response.chunk().await {
                    Ok(Some(piece)) => self.0.send_modify(|capture| capture.take(&piece)),
                    Ok(None) => self.finish(EndReason::Ended),
                    Err(error) => self.finish(EndReason::Broken(cause(error))),
                }
            }
        };
        tokio::select! {
            () = all => {}
            () = enough => self.finish(EndReason::Stopped),
        }
    }

    /// Waits until the condition is met. Returns `false` if the stream ends first.
    pub(super) async fn wait(&self, mut condition: impl FnMut(&Capture) -> bool) -> bool {
        let mut receiver = self.0.subscribe();
        let _ = receiver.wait_for(|capture| condition(capture) || capture.is_over()).await;
        self.look(condition)
    }

    /// Waits until the condition is met, for at most `patience`. Returns `false` if it was not met.
    pub(super) async fn until(
        &self,
        patience: Duration,
        condition: impl FnMut(&Capture) -> bool,
    ) -> bool {
        timeout(patience, self.wait(condition)).await.unwrap_or(false)
    }

    pub(super) fn look<T>(&self, at: impl FnOnce(&Capture) -> T) -> T {
        at(&self.0.borrow())
    }

    /// Captures another stream until the condition is met, the stream ends, or `patience` is over.
    pub(super) async fn read(
        open: OpenResponse<'_>,
        patience: Duration,
        condition: impl FnMut(&Capture) -> bool,
    ) -> Capture {
        let watch = Watch::new();
        let enough = async {
            watch.until(patience, condition).await;
        };
        watch.capture(open.response, enough).await;
        watch.into_recording()
    }

    pub(super) fn into_recording(self) -> Capture {
        self.0.send_replace(Capture::new())
    }

    fn finish(&self, over: EndReason) {
        self.0.send_modify(|capture| capture.finish(over));
    }
}
