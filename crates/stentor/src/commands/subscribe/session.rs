//! From the first event to the last.

use std::io;
use std::thread;

use anyhow::Context;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll, select_all};
use tokio_util::sync::CancellationToken;

use super::ending::{Code, Failure, OrFail};
use super::following::{Content, Following, Received};
use super::limits::Limits;
use super::outlet::{Outlet, Taken};
use super::unread::Unread;
use crate::signals::Signals;

/// Streams, and what is done with them.
pub(super) struct Session {
    streams: SelectAll<BoxStream<'static, Result<Received, Failure>>>,
    outlet: Outlet,
    limits: Limits,
}

impl Session {
    pub(super) fn new(followings: Vec<Following>, outlet: Outlet, limits: Limits) -> Session {
        let streams = select_all(followings.into_iter().map(Following::pieces));
        Session { streams, outlet, limits }
    }

    /// Goes on until it is done: the streams have ended, there were enough events, nobody reads them
    /// any more, or a signal came.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let stop = stop_on_signal().context("signals cannot be taken").or_fail(Code::Failed)?;
        // A command of --exec may have nothing to say: then it does not matter.
        let prints = self.outlet.prints();
        let unread = if prints { Unread::watch_stdout() } else { Unread::watch_nothing() };
        loop {
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                () = unread.is_so() => return Ok(()),
                over = self.limits.time_over() => return over,
                received = self.streams.next() => received,
            };
            let Some(received) = received else { return Ok(()) };
            if self.take(received?).await? {
                return Ok(());
            }
        }
    }

    /// Deals with a piece of a stream, and tells whether it was the last one.
    async fn take(&mut self, received: Received) -> Result<bool, Failure> {
        if let Content::Gap(words) = &received.content {
            self.limits.lose(words)?;
        }
        Ok(match self.outlet.take(received).await? {
            Taken::Event => self.limits.count(),
            Taken::Nothing => false,
            Taken::Unread => true,
        })
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
