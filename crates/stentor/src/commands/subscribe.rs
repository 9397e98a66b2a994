//! `stentor sub`.

mod exec;
mod failure;
mod images;
mod limits;
mod open_topics;
mod request;
mod session;
mod sink;
mod start;
mod stream;
mod target;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use stentor_client::cursor::FileCursor;

use self::failure::{Code, EXIT_CODES, Failure, OrFail};
use self::limits::LimitArgs;
use self::request::RequestArgs;
use self::session::Session;
use self::sink::SinkArgs;
use self::start::StartArgs;
use self::stream::TargetStream;
use self::target::{Target, TargetArgs};

#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct SubArgs {
    #[command(flatten)]
    target: TargetArgs,

    #[command(flatten)]
    start: StartArgs,

    /// Keep the position in this file: start where the last run stopped, and save the position after
    /// events that were printed or handled. Other start options apply to the first run only.
    #[arg(long, value_name = "FILE", help_heading = start::HEADING)]
    cursor: Option<PathBuf>,

    #[command(flatten)]
    sink: SinkArgs,

    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    request: RequestArgs,
}

/// Subscribes. With `is_verbose`, or on a terminal, it reports that it is connected if no event
/// follows at once.
pub(crate) async fn run(args: &SubArgs, is_verbose: bool) -> anyhow::Result<ExitCode> {
    Ok(match subscribe(args, is_verbose || std::io::stderr().is_terminal()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    })
}

async fn subscribe(args: &SubArgs, is_verbose: bool) -> Result<(), Failure> {
    let wants_objects = args.sink.wants_objects();
    let targets = args
        .target
        .targets(&args.request.connection.url, &args.start, wants_objects)
        .or_fail(Code::Usage)?;
    let sink = args.sink.sink(targets.len() > 1 || targets.iter().any(Target::is_mixed))?;
    args.check_cursor(targets.len()).or_fail(Code::Usage)?;
    let requests = args.request.requests(&targets).or_fail(Code::Usage)?;
    let mut streams = Vec::new();
    for (target, mut request) in targets.into_iter().zip(requests) {
        if let Some(id) = &args.start.last_event_id {
            request = request.last_event_id(id);
        }
        if let Some(path) = &args.cursor {
            request = request.cursor(FileCursor::new(path));
        }
        let until_end = args.limits.until_end;
        streams.push(TargetStream::open(target, request, until_end, is_verbose)?);
    }
    Session::new(streams, sink, args.limits.start()).run().await
}

impl SubArgs {
    /// Checks the cursor file before the first event.
    ///
    /// # Errors
    /// There are several streams, or the directory of the file is missing.
    fn check_cursor(&self, streams: usize) -> anyhow::Result<()> {
        let Some(path) = &self.cursor else { return Ok(()) };
        if streams > 1 {
            bail!(
                "--cursor works with one stream; topics of one server share a stream, for other streams use one \
                 command and one file each"
            );
        }
        if path.is_dir() {
            bail!("--cursor {} is a directory; name a file", path.display());
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if !directory.unwrap_or(Path::new(".")).is_dir() {
            bail!("the directory of --cursor {} does not exist; create it first", path.display());
        }
        Ok(())
    }
}
