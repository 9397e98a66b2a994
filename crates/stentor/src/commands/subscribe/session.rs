//! The main loop of a subscription.

use std::future::ready;
use std::mem::take;
use std::pin::pin;
use std::time::Duration;
use std::{io, thread};

use anyhow::Context;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll, select_all};
use stentor_client::cursor::Committer;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::failure::{Code, Failure, OrFail};
use super::limits::Limits;
use super::sink::{Handled, Sink};
use super::stream::{Content, Received, TargetStream};
use crate::output::print_message;
use crate::output_thread::FINISH_TIME;
use crate::signals::Signals;
use crate::stdout_watch::StdoutWatch;

/// Maximum time between two commits of the cursor while printed events arrive without a pause. A commit
/// waits for the disk, which would be too slow for each event.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// The streams of a subscription, and the handling of their events.
pub(super) struct Session {
    streams: SelectAll<BoxStream<'static, Result<Received, Failure>>>,
    sink: Sink,
    limits: Limits,
    /// The committer of the only stream; `None` if there are several.
    committer: Option<Committer>,
    /// The position after the last handled event, until it is committed.
    uncommitted: Option<String>,
    committed_at: Instant,
}

/// The state of a subscription after a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Continues,
    /// The last event was handled, or stdout is closed.
    Done,
    /// It must stop, but stdout takes no data.
    Blocked,
}

impl Session {
    pub(super) fn new(streams: Vec<TargetStream>, sink: Sink, limits: Limits) -> Session {
        let committer = match &*streams {
            [stream] => Some(stream.committer()),
            _ => None,
        };
        let streams = select_all(streams.into_iter().map(TargetStream::chunks));
        let (uncommitted, committed_at) = (None, Instant::now());
        Session { streams, sink, limits, committer, uncommitted, committed_at }
    }

    /// Runs until the streams have ended, a limit is reached, stdout is closed, or a signal arrives.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let stop = stop_on_signal().context("cannot handle signals").or_fail(Code::Failed)?;
        let result = self.handle_all(&stop).await;
        self.commit().await?;
        result
    }

    async fn handle_all(&mut self, stop: &CancellationToken) -> Result<(), Failure> {
        // A command of --exec may write nothing, so a closed stdout does not matter.
        let prints = self.sink.prints();
        let stdout = if prints { StdoutWatch::new() } else { StdoutWatch::disabled() };
        loop {
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = stdout.closed() => return Ok(()),
                timed_out = self.limits.timed_out() => return timed_out,
                received = self.streams.next() => received,
                () = ready(()), if self.uncommitted.is_some() => {
                    self.commit().await?;
                    continue;
                }
            };
            let Some(received) = received else { return Ok(()) };
            match self.handle(received?, stop).await? {
                Progress::Continues => {}
                Progress::Done => return Ok(()),
                // It stops for the same reason as without an event.
                Progress::Blocked if stop.is_cancelled() => return Ok(()),
                Progress::Blocked => return self.limits.timed_out().await,
            }
        }
    }

    /// Handles a chunk.
    async fn handle(
        &mut self,
        mut received: Received,
        stop: &CancellationToken,
    ) -> Result<Progress, Failure> {
        if let Content::Gap(message) = &received.content {
            self.limits.report_gap(message)?;
        }
        let id = take(&mut received.last_event_id);
        let handled = self.finish(received, stop).await?;
        match handled {
            Handled::StdoutClosed => return Ok(Progress::Done),
            Handled::Blocked => return Ok(Progress::Blocked),
            Handled::Event | Handled::Nothing => {}
        }
        self.uncommitted = Some(id);
        // A command must not run again for an event that it has handled.
        let is_command = handled == Handled::Event && !self.sink.prints();
        if is_command || self.committed_at.elapsed() > COMMIT_INTERVAL {
            self.commit().await?;
        }
        let is_last = handled == Handled::Event && self.limits.count();
        Ok(if is_last { Progress::Done } else { Progress::Continues })
    }

    /// Handles a chunk to its end, even if a signal arrives. Only a stdout that takes no data is given up soon after
    /// a signal or the end of `--for`.
    async fn finish(
        &mut self,
        received: Received,
        stop: &CancellationToken,
    ) -> Result<Handled, Failure> {
        let prints = self.sink.prints();
        let mut handling = pin!(self.sink.handle(received));
        tokio::select! {
            biased;
            handled = &mut handling => return handled,
            () = stop.cancelled() => {}
            _ = self.limits.timed_out(), if prints => {}
        }
        if prints {
            if let Ok(handled) = timeout(FINISH_TIME, handling).await {
                return handled;
            }
            print_message(format_args!("stdout takes no data, so the last event is incomplete"));
            return Ok(Handled::Blocked);
        }
        print_message(format_args!("finishing the current event; press Ctrl-C again to stop now"));
        handling.await
    }

    async fn commit(&mut self) -> Result<(), Failure> {
        if let (Some(committer), Some(id)) = (&self.committer, self.uncommitted.take()) {
            committer.commit_id(&id).await.or_fail(Code::Failed)?;
        }
        self.committed_at = Instant::now();
        Ok(())
    }
}

/// Returns a token that the first signal cancels. A separate thread waits for signals, so that the second
/// one ends the program even while it blocks on stdout.
fn stop_on_signal() -> io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let signals = {
        let _context = runtime.enter();
        Signals::listen(stop.clone())?
    };
    thread::spawn(move || runtime.block_on(signals.watch()));
    Ok(stop)
}
