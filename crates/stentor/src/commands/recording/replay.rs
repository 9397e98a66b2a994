//! `stentor replay`.

use std::io::BufRead;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use futures_util::stream::try_unfold;
use stentor_client::{Control, Event, EventObject, Item, Publish};
use stentor_hub::Hub;
use stentor_server::Stentor;

use super::file::{self, Recording};
use super::pace::{Pace, Speed};
use super::serve::router;
use super::stream::{ReplayStream, encoded, id_of};
use crate::commands::connection::ConnectionArgs;
use crate::commands::publish::publish_all;
use crate::output::{CANNOT_WRITE, Format, Printer, is_broken_pipe, print_message, write};
use crate::runtime::block_on;
use crate::server::{Banner, ListenArgs, run as run_server, server_config};
use crate::values;

#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// Recording to read; `-` means stdin.
    file: PathBuf,

    /// Playback speed: `2` = twice as fast, `max` = no pauses.
    #[arg(long, value_name = "TIMES", default_value = "1")]
    speed: Speed,

    /// Publish the events to this topic instead of serving them.
    #[arg(long, value_name = "TOPIC", value_parser = values::topic)]
    to: Option<String>,

    /// Print the events instead of serving them.
    #[arg(long, conflicts_with = "to")]
    print: bool,

    /// Output format of --print [default: `pretty` on a terminal, else `data`].
    #[arg(long, value_enum, requires = "print")]
    format: Option<Format>,

    /// Address to serve on; port 0 picks a free port.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8088")]
    #[arg(value_parser = values::listen_address)]
    listen: String,

    #[command(flatten)]
    access: ListenArgs,

    #[command(flatten)]
    connection: ConnectionArgs,
}

impl ReplayArgs {
    /// Returns `true` if the recording is served, not published or printed.
    pub(crate) fn serves(&self) -> bool {
        !self.print && self.to.is_none()
    }
}

pub(crate) fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let name = args.file.display();
    let recording = file::open(&args.file).with_context(|| format!("cannot read {name}"))?;
    let replayed = match &args.to {
        _ if args.print => block_on(print(recording, args)),
        Some(topic) => block_on(publish(recording, args, topic)),
        None => serve(recording, args),
    };
    match replayed {
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        replayed => replayed.with_context(|| format!("cannot replay {name}")),
    }
}

fn serve(recording: Recording<impl BufRead>, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let address = args.access.resolve(&args.listen)?;
    let stream = ReplayStream::read(recording)?;
    let stentor = Stentor::with_config(Hub::memory(), server_config());
    let banner = Banner {
        title: Banner::title(format!("replay of {}, served at every path", args.file.display())),
        ..Banner::default()
    };
    let router = router(stream, args.speed, stentor.drain().clone());
    run_server(address, &args.access, &banner, &stentor, router, std::future::ready(()))
}

async fn print(recording: Recording<impl BufRead>, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let format = args.format.unwrap_or_else(Format::of_stdout);
    let printer = Printer::new(format, false);
    let mut player = Player::new(recording, args.speed);
    let mut last_event_id = String::new();
    while let Some(item) = player.next().await? {
        if printer.is_raw() {
            write(&encoded(&item)).context(CANNOT_WRITE)?;
        }
        if let Some(id) = id_of(&item) {
            id.as_str().clone_into(&mut last_event_id);
        }
        if let Item::Event(event) = item
            && Control::of(&event).is_none()
        {
            let object = EventObject::from_plain(event, &last_event_id);
            let text = printer.text(&object, &args.file.to_string_lossy())?;
            write(text.unwrap_or_default().as_bytes()).context(CANNOT_WRITE)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn publish(
    recording: Recording<impl BufRead>,
    args: &ReplayArgs,
    topic: &str,
) -> anyhow::Result<ExitCode> {
    let player = Player::new(recording, args.speed);
    let publishes = try_unfold(player, |mut player| async move {
        let event = player.next_event().await?;
        anyhow::Ok(event.map(|event| (Publish::event(event), player)))
    });
    let count = publish_all(&args.connection, topic, publishes).await?.count;
    print_message(format_args!("published {count} events"));
    Ok(ExitCode::SUCCESS)
}

/// Returns the items of a recording, each when it is due.
struct Player<R> {
    recording: Recording<R>,
    speed: Speed,
    /// Starts with the first line.
    pace: Option<Pace>,
}

impl<R: BufRead> Player<R> {
    fn new(recording: Recording<R>, speed: Speed) -> Player<R> {
        Player { recording, speed, pace: None }
    }

    async fn next(&mut self) -> anyhow::Result<Option<Item>> {
        while let Some(line) = self.recording.next()? {
            let Some(item) = line.entry.item()? else { continue };
            let pace = self.pace.get_or_insert_with(|| Pace::begin(self.speed, line.at()));
            pace.until(line.at()).await;
            return Ok(Some(item));
        }
        Ok(None)
    }

    /// Returns the next event that is not a control event.
    async fn next_event(&mut self) -> anyhow::Result<Option<Event>> {
        while let Some(item) = self.next().await? {
            if let Item::Event(event) = item
                && Control::of(&event).is_none()
            {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}
