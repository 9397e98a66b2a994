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

    /// Begin where the last run with this file stopped, the first one where another option says; and
    /// note in it how far this one got: what was printed, or what --exec had success with.
    #[arg(long, value_name = "FILE", help_heading = start::HEADING)]
    cursor: Option<PathBuf>,

    #[command(flatten)]
    outlet: SinkArgs,

    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    request: RequestArgs,
}

pub(crate) async fn run(args: &SubArgs) -> anyhow::Result<ExitCode> {
    Ok(match subscribe(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    })
}

async fn subscribe(args: &SubArgs) -> Result<(), Failure> {
    let wants_objects = args.outlet.wants_objects();
    let targets = args
        .target
        .targets(&args.request.server.url, &args.start, wants_objects)
        .or_fail(Code::Usage)?;
    let outlet = args.outlet.outlet(targets.len() > 1 || targets.iter().any(Target::is_mixed))?;
    args.check_cursor(targets.len()).or_fail(Code::Usage)?;
    let requests = args.request.requests(&targets).or_fail(Code::Usage)?;
    let mut followings = Vec::new();
    for (target, mut request) in targets.into_iter().zip(requests) {
        if let Some(id) = &args.start.last_event_id {
            request = request.last_event_id(id);
        }
        if let Some(path) = &args.cursor {
            request = request.cursor(FileCursor::new(path));
        }
        followings.push(TargetStream::begin(target, request, args.limits.until_end)?);
    }
    Session::new(followings, outlet, args.limits.begin()).run().await
}

impl SubArgs {
    /// Refuses a cursor that could not be kept, before anything is done.
    fn check_cursor(&self, streams: usize) -> anyhow::Result<()> {
        let Some(path) = &self.cursor else { return Ok(()) };
        if streams > 1 {
            bail!(
                "--cursor is the place in one stream; topics of one server share one, for others run \
                 a command with a file each"
            );
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if !folder.unwrap_or(Path::new(".")).is_dir() {
            bail!("the folder of the cursor {} is not there; make it first", path.display());
        }
        Ok(())
    }
}
