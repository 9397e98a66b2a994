//! From the first event to the last.

use std::future::ready;
use std::mem::take;
use std::pin::pin;
use std::time::Duration;
use std::{io, thread};

use anyhow::Context;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll, select_all};
use stentor_client::cursor::Committer;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::failure::{Code, Failure, OrFail};
use super::limits::Limits;
use super::sink::{Sink, Taken};
use super::stream::{Content, Received, TargetStream};
use crate::output::print_message;
use crate::signals::Signals;
use crate::stdout_watch::StdoutWatch;

/// How far the cursor may stay behind the events that are printed, when they come without a pause.
/// Storing it waits for the disk, so not each event is worth it.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// Streams, and what is done with them.
pub(super) struct Session {
    streams: SelectAll<BoxStream<'static, Result<Received, Failure>>>,
    outlet: Sink,
    limits: Limits,
    /// Of the one stream, if there is a cursor.
    committer: Option<Committer>,
    /// The id behind which all is dealt with, and is not yet stored.
    uncommitted: Option<String>,
    committed_at: Instant,
}

impl Session {
    pub(super) fn new(followings: Vec<TargetStream>, outlet: Sink, limits: Limits) -> Session {
        let committer = match &*followings {
            [following] => Some(following.committer()),
            _ => None,
        };
        let streams = select_all(followings.into_iter().map(TargetStream::pieces));
        let (uncommitted, committed_at) = (None, Instant::now());
        Session { streams, outlet, limits, committer, uncommitted, committed_at }
    }

    /// Goes on until it is done: the streams have ended, there were enough events, nobody reads them
    /// any more, or a signal came.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let stop = stop_on_signal().context("signals cannot be taken").or_fail(Code::Failed)?;
        let result = self.go_on(&stop).await;
        self.commit().await?;
        result
    }

    async fn go_on(&mut self, stop: &CancellationToken) -> Result<(), Failure> {
        // A command of --exec may have nothing to say: then it does not matter.
        let prints = self.outlet.prints();
        let unread = if prints { StdoutWatch::new() } else { StdoutWatch::disabled() };
        loop {
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = unread.closed() => return Ok(()),
                over = self.limits.time_over() => return over,
                received = self.streams.next() => received,
                () = ready(()), if self.uncommitted.is_some() => {
                    self.commit().await?;
                    continue;
                }
            };
            let Some(received) = received else { return Ok(()) };
            if self.take(received?, stop).await? {
                return Ok(());
            }
        }
    }

    /// Deals with a piece of a stream, and tells whether it was the last one.
    async fn take(
        &mut self,
        mut received: Received,
        stop: &CancellationToken,
    ) -> Result<bool, Failure> {
        if let Content::Gap(words) = &received.content {
            self.limits.lose(words)?;
        }
        let id = take(&mut received.last_event_id);
        let taken = self.finish(received, stop).await?;
        if taken == Taken::StdoutClosed {
            return Ok(true);
        }
        self.uncommitted = Some(id);
        // What a command did is not to be done again.
        let is_run = taken == Taken::Event && !self.outlet.prints();
        if is_run || self.committed_at.elapsed() > COMMIT_INTERVAL {
            self.commit().await?;
        }
        Ok(taken == Taken::Event && self.limits.count())
    }

    /// Deals with a piece to its end, also when a signal comes.
    async fn finish(
        &mut self,
        received: Received,
        stop: &CancellationToken,
    ) -> Result<Taken, Failure> {
        let mut taking = pin!(self.outlet.take(received));
        tokio::select! {
            biased;
            taken = &mut taking => return taken,
            () = stop.cancelled() => {}
        }
        print_message(format_args!("finishing the event at hand; a second signal does not wait"));
        taking.await
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        if let (Some(committer), Some(id)) = (&self.committer, self.uncommitted.take()) {
            committer.commit_id(&id).await.or_fail(Code::Failed)?;
        }
        self.committed_at = Instant::now();
        Ok(())
    }
}

/// Is cancelled by a signal. The signals are waited for in a thread of their own, so that the second
/// one ends the program also while it waits for a reader of stdout.
fn stop_on_signal() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let signals = {
        let _within = runtime.enter();
        Signals::listen(stop.clone())?
    };
    thread::spawn(move || runtime.block_on(signals.watch()));
    Ok(stop)
}
