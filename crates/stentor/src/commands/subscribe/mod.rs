//! `stentor sub`.

mod ending;
mod following;
mod handler;
mod images;
mod limits;
mod open_topics;
mod outlet;
mod request;
mod session;
mod start;
mod target;
mod unread;

use std::process::ExitCode;

use self::ending::{Code, EXIT_CODES, Failure, OrFail};
use self::following::Following;
use self::limits::LimitArgs;
use self::outlet::OutletArgs;
use self::request::RequestArgs;
use self::session::Session;
use self::start::StartArgs;
use self::target::{Target, TargetArgs};

#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct SubArgs {
    #[command(flatten)]
    target: TargetArgs,

    #[command(flatten)]
    start: StartArgs,

    #[command(flatten)]
    outlet: OutletArgs,

    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    request: RequestArgs,
}

pub(crate) async fn run(args: SubArgs) -> anyhow::Result<ExitCode> {
    Ok(match subscribe(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    })
}

async fn subscribe(args: &SubArgs) -> Result<(), Failure> {
    let wants_objects = args.outlet.wants_objects();
    let targets = args.target.targets(&args.start, wants_objects).or_fail(Code::Usage)?;
    let outlet = args.outlet.outlet(targets.len() > 1 || targets.iter().any(Target::is_mixed))?;
    args.request.check(&targets).or_fail(Code::Usage)?;
    let mut followings = Vec::new();
    for target in targets {
        let mut request = args.request.request(&target, &args.target.url);
        if let Some(id) = &args.start.last_event_id {
            request = request.last_event_id(id);
        }
        followings.push(Following::begin(target, request, args.limits.until_end)?);
    }
    Session::new(followings, outlet, args.limits.begin()).run().await
}
