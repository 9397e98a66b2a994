//! `stentor pub --from`: another source, published again for good.
//!
//! ```text
//! source -> waiting -> under way (its answer) -> cursor
//! ```
//!
//! One batch of events is under way at a time, and what comes meanwhile waits for the next one. The
//! cursor moves behind what is answered, so that whatever is killed, and whenever, events only come
//! again under the key that they had.

mod batch;
mod key;
mod sender;

use std::future::pending;
use std::path::PathBuf;

use anyhow::Context;
use futures_util::future::{BoxFuture, FutureExt};
use stentor_client::cursor::FileCursor;
use stentor_client::{Control, Event, EventSource, Item, State};
use tokio::sync::watch;

use self::batch::Batch;
use self::sender::{Sender, Sent};
use super::PubArgs;
use crate::commands::connection::{Header, with_headers};
use crate::commands::status::StatusReporter;
use crate::output::{print_line, print_message};

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Another source")]
pub(super) struct RelayArgs {
    /// Publish the events of this stream, over reconnects, until it says that nothing more will come
    /// (204). Each event is published once, for its id is its idempotency key.
    #[arg(long, value_name = "URL", conflicts_with_all = ["data", "file", "lines"])]
    pub(super) from: Option<String>,

    /// Send this header to the source. Repeatable.
    #[arg(
        long,
        value_name = "NAME: VALUE",
        requires = "from",
        conflicts_with_all = ["data", "file", "lines"]
    )]
    from_header: Vec<Header>,

    /// Note in this file how far the source is published, and begin there.
    #[arg(
        long,
        value_name = "FILE",
        requires = "from",
        conflicts_with_all = ["data", "file", "lines"]
    )]
    cursor: Option<PathBuf>,
}

/// Publishes what comes from this address until that is over; tells how many events that were.
pub(super) async fn run(url: &str, args: &PubArgs) -> anyhow::Result<u64> {
    let mut builder = with_headers(EventSource::builder(url), &args.relay.from_header);
    if let Some(path) = &args.relay.cursor {
        builder = builder.cursor(FileCursor::new(path));
    }
    let publisher = args.server.publisher().attempts_max(1).build()?;
    let mut relay = Relay::new(builder.build()?, url);
    let sender = Sender::new(&publisher, args);
    relay.run(&sender).await?;
    Ok(relay.count)
}

struct Relay {
    source: EventSource,
    states: watch::Receiver<State>,
    status: StatusReporter,
    /// Whether it was said that events have no ids.
    told_no_ids: bool,
    /// What goes next.
    waiting: Batch,
    count: u64,
}

impl Relay {
    fn new(source: EventSource, name: &str) -> Relay {
        let states = source.states();
        let status = StatusReporter::new(name);
        Relay { source, states, status, told_no_ids: false, waiting: Batch::default(), count: 0 }
    }

    async fn run(&mut self, sender: &Sender<'_>) -> anyhow::Result<()> {
        let mut under_way = None;
        let mut is_over = false;
        while !is_over || under_way.is_some() || !self.waiting.is_empty() {
            if under_way.is_none() && !self.waiting.is_empty() {
                let batch = std::mem::take(&mut self.waiting);
                let position = self.source.last_event_id().to_owned();
                under_way = Some(sender.send(batch, position).boxed());
            }
            tokio::select! {
                sent = answer(&mut under_way) => self.take_answer(sent?).await?,
                piece = self.source.next_chunk(), if !is_over && self.waiting.has_room() => {
                    match piece.transpose().context("the source is lost")? {
                        Some(piece) => self.take(piece.item),
                        None => is_over = true,
                    }
                }
                Ok(()) = self.states.changed() => {
                    let state = self.states.borrow_and_update().clone();
                    self.status.report(&state);
                    continue;
                }
            }
            if under_way.is_none() && self.waiting.is_empty() {
                // Ids without an event move the cursor too.
                self.source.commit().await?;
            }
        }
        Ok(())
    }

    fn take(&mut self, item: Option<Item>) {
        let Some(Item::Event(event)) = item else { return };
        self.status.observe(&event);
        match Control::of(&event) {
            None => {
                self.tell_no_id(&event);
                self.waiting.push(event);
            }
            Some(Control::Gap(gap)) => {
                print_message(format_args!("the source has lost events ({})", gap.reason));
            }
            Some(_) => {}
        }
    }

    async fn take_answer(&mut self, sent: Sent) -> anyhow::Result<()> {
        self.count += sent.count;
        if let Some(id) = sent.last_id {
            print_line(&id)?;
        }
        Ok(self.source.committer().commit_id(&sent.position).await?)
    }

    fn tell_no_id(&mut self, event: &Event) {
        if event.id().is_none() && !self.told_no_ids {
            self.told_no_ids = true;
            print_message(format_args!(
                "the source gives events without ids: whenever it is lost, such events may be lost or \
                 come twice"
            ));
        }
    }
}

/// What comes of what is under way; nothing for ever, if nothing is.
async fn answer(
    under_way: &mut Option<BoxFuture<'_, anyhow::Result<Sent>>>,
) -> anyhow::Result<Sent> {
    let Some(sending) = under_way else { return pending().await };
    let sent = sending.await;
    *under_way = None;
    sent
}
