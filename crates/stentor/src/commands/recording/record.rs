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
use crate::commands::connection::{ConnectionArgs, with_idle_timeout, without_password};
use crate::commands::status::StatusReporter;
use crate::duration;
use crate::output::{is_broken_pipe, print_message};
use crate::stdout_watch::StdoutWatch;
use crate::{signals, values};

#[derive(Debug, clap::Args)]
pub(crate) struct RecordArgs {
    /// Topic to record, or the URL of any SSE stream.
    #[arg(value_name = "TOPIC|URL", value_parser = values::topic_or_url)]
    source: String,

    /// File to write; `-` means stdout.
    file: PathBuf,

    /// Continue an existing recording of the stream after its last event.
    #[arg(long)]
    append: bool,

    /// Stop after N events.
    #[arg(long, value_name = "N", value_parser = values::count)]
    count: Option<u64>,

    /// Stop after this time, such as `30s`.
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    length: Option<Duration>,

    /// Start after the event with this id.
    #[arg(long, value_name = "ID", conflicts_with = "append")]
    last_event_id: Option<String>,

    /// Reconnect after this much silence; `0s` = never [default: 3 x the keep-alive interval of the server,
    /// none if it sends no keep-alives].
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    idle_timeout: Option<Duration>,

    #[command(flatten)]
    connection: ConnectionArgs,
}

pub(crate) async fn run(args: RecordArgs) -> anyhow::Result<ExitCode> {
    let url = args.url()?;
    let (opened, stdout) = if args.file == Path::new("-") {
        (Ok((Writer::to(io::stdout()), None)), StdoutWatch::new())
    } else {
        (Writer::open(&args.file, args.append), StdoutWatch::disabled())
    };
    let recorder = opened.and_then(|(writer, existing)| match existing {
        None => Ok(Recorder::new(writer, without_password(&url))),
        Some(existing) => Recorder::resume(writer, existing, &without_password(&url)),
    });
    let mut recorder =
        recorder.with_context(|| format!("cannot record to {}", args.file.display()))?;
    let mut source = with_idle_timeout(args.connection.source(url.as_str()), args.idle_timeout)
        .last_event_id(args.last_event_id.as_deref().unwrap_or(recorder.last_event_id()))
        .build()?;
    let done = tokio::select! {
        done = record(&mut source, &mut recorder, &args) => done,
        () = elapsed(args.length) => Ok(()),
        () = stdout.closed() => return Ok(ExitCode::SUCCESS),
        stopped = signals::stop_requested() => Ok(stopped?),
    };
    let done = match done {
        Ok(()) => finish(&mut recorder, &args).await,
        failed => failed,
    };
    match done {
        Err(error) if is_broken_pipe(&error) => return Ok(ExitCode::SUCCESS),
        done => done.with_context(|| format!("cannot record {}", args.source))?,
    }
    let (events, seconds) = (recorder.events(), recorder.length().as_secs_f32());
    print_message(format_args!("recorded {events} events in {seconds:.1} s"));
    Ok(ExitCode::SUCCESS)
}

impl RecordArgs {
    fn url(&self) -> anyhow::Result<Url> {
        match values::http_url(&self.source) {
            Ok(url) => Ok(url),
            Err(_) => Ok(ServerUrl::new(&self.connection.url)?.topic(&self.source)?),
        }
    }
}

/// Waits a short time until the file has taken everything.
async fn finish(recorder: &mut Recorder, args: &RecordArgs) -> anyhow::Result<()> {
    let finished = recorder.finish_soon().await;
    finished.with_context(|| format!("cannot write to {}", args.file.display()))
}

/// Records until the stream ends or `--count` is reached.
async fn record(
    source: &mut EventSource,
    recorder: &mut Recorder,
    args: &RecordArgs,
) -> anyhow::Result<()> {
    let mut states = source.states();
    let mut reporter = StatusReporter::new(&args.source, args.url()?.as_str());
    loop {
        let last_event_id = source.last_event_id().to_owned();
        let piece = tokio::select! {
            piece = source.next_chunk() => Some(piece),
            _ = states.changed() => None,
        };
        // The change to `Open` and the first chunk can arrive together.
        if piece.is_none() || states.has_changed().unwrap_or_default() {
            let state = states.borrow_and_update().clone();
            reporter.report(&state);
            recorder.take_state(&state, last_event_id)?;
            recorder.flush().await?;
        }
        let Some(piece) = piece else { continue };
        let Some(piece) = piece.transpose()? else { return Ok(()) };
        if let Some(Item::Event(event)) = &piece.item {
            reporter.observe(event);
        }
        recorder.take(piece.item)?;
        recorder.flush().await?;
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
