//! `stentor log backup`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::{DataArgs, bytes};
use crate::output::print_message;

#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// Directory of the copy. It must be new or empty.
    #[arg(value_name = "TO")]
    to: PathBuf,

    #[command(flatten)]
    log: DataArgs,
}

pub(super) fn run(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let cannot = || format!("cannot back up the log in {}", args.log.data.display());
    let copy = args.log.open()?.backup(&args.to).with_context(cannot)?;
    let to = args.to.display();
    print_message(format_args!(
        "backed up to {to}, {}; serve it with --data {to}",
        bytes(copy.bytes)
    ));
    Ok(ExitCode::SUCCESS)
}
