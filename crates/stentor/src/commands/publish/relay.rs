//! `stentor pub --from`: republishes another event stream.
//!
//! ```text
//! source -> waiting batch -> batch in flight -> acknowledged -> cursor
//! ```
//!
//! One batch is in flight at a time; events that arrive meanwhile wait for the next one. The cursor moves
//! only past acknowledged events. After a kill at any moment, events are at most sent again, with the same
//! keys.

mod batch;
mod key;
mod recent_keys;
mod sender;

use std::future::pending;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::{BoxFuture, FutureExt};
use stentor_client::cursor::FileCursor;
use stentor_client::{Control, Event, EventSource, Item, State};
use tokio::sync::watch;

use self::batch::Batch;
use self::recent_keys::RecentKeys;
use self::sender::{Sender, Sent};
use super::options::Options;
use crate::commands::connection::{ConnectionArgs, with_headers, with_idle_timeout};
use crate::commands::status::StatusReporter;
use crate::duration;
use crate::output::{print_line, print_message};
use crate::stdout_watch::StdoutWatch;
use crate::values::{self, Header};

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Source to republish")]
pub(super) struct RelayArgs {
    /// Republish another event stream, reconnecting, until it ends (204). Event ids prevent duplicates.
    #[arg(long, value_name = "URL", value_parser = values::stream_url)]
    #[arg(conflicts_with_all = ["data", "file", "lines"])]
    pub(super) from: Option<String>,

    /// Extra header for requests to the source. Repeatable.
    #[arg(
        long,
        value_name = "NAME: VALUE",
        value_parser = values::header,
        requires = "from",
        conflicts_with_all = ["data", "file", "lines"]
    )]
    from_header: Vec<Header>,

    /// Remember the position in this file, and continue from it.
    #[arg(
        long,
        value_name = "FILE",
        requires = "from",
        conflicts_with_all = ["data", "file", "lines"]
    )]
    cursor: Option<PathBuf>,

    /// Reconnect to the source after this much silence; `0s` = never [default: 3 x the keep-alive interval
    /// of the server, none if it sends no keep-alives].
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration::parse,
        requires = "from",
        conflicts_with_all = ["data", "file", "lines"]
    )]
    idle_timeout: Option<Duration>,
}

/// The result of [`run`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Relayed {
    /// Number of distinct events.
    pub(super) count: u64,
    /// `false` if it stopped early because stdout was closed.
    pub(super) is_complete: bool,
}

/// Republishes the stream at this URL until it ends or stdout is closed. Events already received are
/// published first.
///
/// # Errors
/// The source or the server fails permanently, or the cursor file cannot be written.
pub(super) async fn run(
    url: &str,
    args: &RelayArgs,
    connection: &ConnectionArgs,
    topic: &str,
    options: &Options,
) -> anyhow::Result<Relayed> {
    let publisher = connection.publisher().attempts_max(1).build()?;
    let mut builder = with_headers(EventSource::builder(url), &args.from_header);
    builder = with_idle_timeout(connection.with_roots(builder), args.idle_timeout);
    if let Some(path) = &args.cursor {
        builder = builder.cursor(FileCursor::new(path));
    }
    let mut relay = Relay::new(builder.build()?, url);
    let is_complete = relay.run(&Sender::new(&publisher, topic, options)).await?;
    Ok(Relayed { count: relay.recent_keys.distinct(), is_complete })
}

struct Relay {
    source: EventSource,
    states: watch::Receiver<State>,
    status: StatusReporter,
    /// `true` after the warning about events without ids.
    warned_no_ids: bool,
    /// The next batch.
    waiting: Batch,
    recent_keys: RecentKeys,
}

impl Relay {
    fn new(source: EventSource, name: &str) -> Relay {
        Relay {
            states: source.states(),
            source,
            status: StatusReporter::new(name, name),
            warned_no_ids: false,
            waiting: Batch::default(),
            recent_keys: RecentKeys::default(),
        }
    }

    /// Returns `false` if it stopped early because stdout was closed.
    async fn run(&mut self, sender: &Sender<'_>) -> anyhow::Result<bool> {
        let stdout = StdoutWatch::new();
        let mut in_flight = None;
        let (mut is_over, mut is_complete) = (false, true);
        while !is_over || in_flight.is_some() || !self.waiting.is_empty() {
            if in_flight.is_none() && !self.waiting.is_empty() {
                let batch = std::mem::take(&mut self.waiting);
                let position = self.source.last_event_id().to_owned();
                in_flight = Some(sender.send(batch, position).boxed());
            }
            tokio::select! {
                sent = completed(&mut in_flight) => self.acknowledge(sent?).await?,
                chunk = self.source.next_chunk(), if !is_over && self.waiting.has_room() => {
                    match chunk.transpose().context("cannot read the source any further")? {
                        Some(chunk) => self.take(chunk.item),
                        None => is_over = true,
                    }
                }
                () = stdout.closed(), if !is_over => (is_over, is_complete) = (true, false),
                Ok(()) = self.states.changed() => {
                    let state = self.states.borrow_and_update().clone();
                    self.status.report(&state);
                    continue;
                }
            }
            if in_flight.is_none() && self.waiting.is_empty() {
                // An id without an event moves the cursor too.
                self.source.commit().await?;
            }
        }
        Ok(is_complete)
    }

    fn take(&mut self, item: Option<Item>) {
        let Some(Item::Event(event)) = item else { return };
        self.status.observe(&event);
        match Control::of(&event) {
            None => {
                self.warn_no_id(&event);
                self.waiting.push(event);
            }
            Some(Control::Gap(gap)) => {
                print_message(format_args!("the source lost events ({})", gap.reason));
            }
            Some(_) => {}
        }
    }

    async fn acknowledge(&mut self, sent: Sent) -> anyhow::Result<()> {
        self.recent_keys.add(&sent.keys, sent.is_repeat);
        if let Some(id) = sent.last_id {
            print_line(&id)?;
        }
        Ok(self.source.committer().commit_id(&sent.position).await?)
    }

    fn warn_no_id(&mut self, event: &Event) {
        if event.id().is_none() && !self.warned_no_ids {
            self.warned_no_ids = true;
            print_message(format_args!(
                "the source sends events without ids: after a lost connection, such events may be lost or \
                 duplicated"
            ));
        }
    }
}

/// Returns the result of the batch in flight; waits indefinitely if there is none. Cancel safe.
async fn completed(
    in_flight: &mut Option<BoxFuture<'_, anyhow::Result<Sent>>>,
) -> anyhow::Result<Sent> {
    let Some(sending) = in_flight else { return pending().await };
    let sent = sending.await;
    *in_flight = None;
    sent
}
