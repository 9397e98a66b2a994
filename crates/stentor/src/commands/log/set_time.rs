//! `stentor log set-time`.

use std::process::ExitCode;

use stentor_hub::Timestamp;
use stentor_hub::storage::{SqliteLog, TimeSet};

use super::DataArgs;
use crate::files::with_log;
use crate::output::print_message;

#[derive(Debug, clap::Args)]
pub(crate) struct SetTimeArgs {
    /// Latest time that an event may have: `now`, or a time such as 2026-03-01T12:00:00Z.
    #[arg(long, value_name = "TIME", default_value = "now", value_parser = time)]
    to: To,

    #[command(flatten)]
    log: DataArgs,
}

#[derive(Clone, Copy, Debug)]
enum To {
    Now,
    Time(Timestamp),
}

fn time(text: &str) -> Result<To, String> {
    match text {
        "now" => Ok(To::Now),
        time => time.parse().map(To::Time).map_err(|error| format!("{error}; or use `now`")),
    }
}

pub(super) fn run(args: &SetTimeArgs) -> anyhow::Result<ExitCode> {
    let to = match args.to {
        To::Now => Timestamp::now(),
        To::Time(time) => time,
    };
    let dir = &args.log.data;
    let set = SqliteLog::set_time(dir, to);
    let set = tokio::runtime::Builder::new_current_thread().build()?.block_on(set);
    let TimeSet { before, records, keys } =
        set.map_err(|error| with_log(error, "cannot set the time of the log in", dir))?;
    if before <= to {
        print_message(format_args!("nothing to do: the newest event is from {before}"));
    } else {
        print_message(format_args!(
            "set {records} events and ends from up to {before} to {to}, and moved the expiry of {keys} idempotency keys"
        ));
    }
    Ok(ExitCode::SUCCESS)
}
