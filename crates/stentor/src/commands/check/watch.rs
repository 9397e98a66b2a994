//! A stream that is being recorded, while others wait for what comes.

use std::time::Duration;

use reqwest::Response;
use tokio::sync::watch::Sender;
use tokio::time::timeout;

use super::capture::{Capture, Over};
use super::endpoint::{Answer, cause};

#[derive(Debug)]
pub(super) struct Watch(Sender<Capture>);

impl Watch {
    /// Begins with the head of an answer.
    pub(super) fn new() -> Watch {
        Watch(Sender::new(Capture::new()))
    }

    /// Records the body until it is over, or `enough` is.
    pub(super) async fn record(&self, mut response: Response, enough: impl Future<Output = ()>) {
        let all = async {
            while !self.look(Capture::is_over) {
                match response.chunk().await {
                    Ok(Some(piece)) => self.0.send_modify(|capture| capture.take(&piece)),
                    Ok(None) => self.finish(Over::Ended),
                    Err(error) => self.finish(Over::Broken(cause(error))),
                }
            }
        };
        tokio::select! {
            () = all => {}
            () = enough => self.finish(Over::Left),
        }
    }

    /// Waits until this is so, and tells whether it is: not if the stream is over before.
    pub(super) async fn wait(&self, mut is_so: impl FnMut(&Capture) -> bool) -> bool {
        let mut receiver = self.0.subscribe();
        let _ = receiver.wait_for(|capture| is_so(capture) || capture.is_over()).await;
        self.look(is_so)
    }

    /// The same, but not beyond patience.
    pub(super) async fn until(
        &self,
        patience: Duration,
        is_so: impl FnMut(&Capture) -> bool,
    ) -> bool {
        timeout(patience, self.wait(is_so)).await.unwrap_or(false)
    }

    pub(super) fn look<T>(&self, at: impl FnOnce(&Capture) -> T) -> T {
        at(&self.0.borrow())
    }

    /// Reads a stream of its own until this is so, it is over, or patience is.
    pub(super) async fn read(
        answer: Answer<'_>,
        patience: Duration,
        is_so: impl FnMut(&Capture) -> bool,
    ) -> Capture {
        let watch = Watch::new();
        let enough = async {
            watch.until(patience, is_so).await;
        };
        watch.record(answer.response, enough).await;
        watch.into_recording()
    }

    pub(super) fn into_recording(self) -> Capture {
        self.0.send_replace(Capture::new())
    }

    fn finish(&self, over: Over) {
        self.0.send_modify(|capture| capture.finish(over));
    }
}
