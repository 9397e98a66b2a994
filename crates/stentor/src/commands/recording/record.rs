//! `stentor record`.

use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use stentor_client::{EventSource, Item, ServerUrl, Url};
use tokio::time::sleep;

use super::file::Writer;
use super::recorder::Recorder;
use crate::commands::connection::{ConnectionArgs, without_password};
use crate::commands::status::StatusReporter;
use crate::duration;
use crate::output::{is_broken_pipe, print_message};
use crate::signals;

#[derive(Debug, clap::Args)]
pub(crate) struct RecordArgs {
    /// What to record: a topic, or the address of any stream of Server-Sent Events.
    #[arg(value_name = "TOPIC|URL")]
    what: String,

    /// The file to write; `-` is stdout.
    file: PathBuf,

    /// If the file has a recording of the stream, go on with it behind its last event.
    #[arg(long)]
    append: bool,

    /// Stop after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Stop after so long, such as `30s`.
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse_arg)]
    length: Option<Duration>,

    /// Begin behind the event with this id.
    #[arg(long, value_name = "ID", conflicts_with = "append")]
    last_event_id: Option<String>,

    #[command(flatten)]
    server: ConnectionArgs,
}

pub(crate) async fn run(args: RecordArgs) -> anyhow::Result<ExitCode> {
    let url = args.address()?;
    let opened = if args.file == Path::new("-") {
        Ok((Writer::to(io::stdout()), None))
    } else {
        Writer::open(&args.file, args.append)
    };
    let recorder = opened.and_then(|(writer, past)| match past {
        None => Ok(Recorder::new(writer, without_password(&url))),
        Some(past) => Recorder::go_on(writer, past, &without_password(&url)),
    });
    let mut recorder =
        recorder.with_context(|| format!("cannot record into {}", args.file.display()))?;
    let mut source = (args.server.source(url.as_str()))
        .last_event_id(args.last_event_id.as_deref().unwrap_or(recorder.last_event_id()))
        .build()?;
    let done = tokio::select! {
        done = record(&mut source, &mut recorder, &args) => done,
        () = elapsed(args.length) => Ok(()),
        stopped = signals::asked() => Ok(stopped?),
    };
    match done {
        Err(error) if is_broken_pipe(&error) => return Ok(ExitCode::SUCCESS),
        done => done.with_context(|| format!("cannot record {}", args.what))?,
    }
    let (events, seconds) = (recorder.events(), recorder.length().as_secs_f32());
    print_message(format_args!("recorded {events} events in {seconds:.1} s"));
    Ok(ExitCode::SUCCESS)
}

impl RecordArgs {
    fn is_address(&self) -> bool {
        self.what.contains("://")
    }

    fn address(&self) -> anyhow::Result<Url> {
        if self.is_address() {
            return Url::parse(&self.what)
                .with_context(|| format!("{:?} is no address", self.what));
        }
        let server = ServerUrl::new(&self.server.url).context("the address of the server")?;
        Ok(server.topic(&self.what)?)
    }
}

/// Until the stream is over, or as many events have come as were asked for.
async fn record(
    source: &mut EventSource,
    recorder: &mut Recorder,
    args: &RecordArgs,
) -> anyhow::Result<()> {
    let mut states = source.states();
    let mut status = StatusReporter::new(&args.what);
    loop {
        let last_event_id = source.last_event_id().to_owned();
        let piece = tokio::select! {
            piece = source.next_chunk() => Some(piece),
            _ = states.changed() => None,
        };
        // That the stream is open, and its first piece, can come at once.
        if piece.is_none() || states.has_changed().unwrap_or_default() {
            let state = states.borrow_and_update().clone();
            status.report(&state);
            recorder.take_state(&state, last_event_id)?;
        }
        let Some(piece) = piece else { continue };
        let Some(piece) = piece.transpose()? else { return Ok(()) };
        if let Some(Item::Event(event)) = &piece.item {
            status.observe(event);
        }
        recorder.take(piece.item)?;
        if args.count.is_some_and(|count| recorder.events() >= count) {
            return Ok(());
        }
    }
}

async fn elapsed(length: Option<Duration>) {
    match length {
        Some(length) => sleep(length).await,
        None => pending().await,
    }
}
