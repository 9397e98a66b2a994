//! `stentor log repair`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use stentor_hub::storage::{RepairOptions, SqliteLog};

use super::DataArgs;
use crate::output::print_message;

#[derive(Debug, clap::Args)]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    log: DataArgs,

    /// Restore damaged records from a backup of this log.
    #[arg(long, value_name = "BACKUP")]
    from: Option<PathBuf>,

    /// Drop what is damaged and cannot be restored.
    #[arg(long)]
    accept_loss: bool,
}

pub(super) fn run(args: &RepairArgs) -> anyhow::Result<ExitCode> {
    let dir = &args.log.data;
    let options = RepairOptions { from: args.from.clone(), accept_loss: args.accept_loss };
    let cannot = || format!("cannot repair the log in {}", dir.display());
    if args.accept_loss
        && let Some(dropped) = SqliteLog::accept_loss(dir).with_context(cannot)?
    {
        print_message(format_args!(
            "{}: dropped {} transactions ({} pages) of the write-ahead log; the log now ends at offset {}",
            dropped.reason, dropped.transactions, dropped.pages, dropped.last
        ));
    }
    let repaired =
        SqliteLog::repair(dir, &options, &mut |note| print_message(format_args!("{note}")))
            .with_context(cannot)?;
    let Some(kept) = repaired.damaged_files else {
        print_message(format_args!("the log in {} is sound; nothing was changed", dir.display()));
        return Ok(ExitCode::SUCCESS);
    };
    print_message(format_args!(
        "repaired: {} records kept, {} restored from the backup, {} lost, {} other rows lost",
        repaired.records, repaired.restored, repaired.lost, repaired.lost_rows
    ));
    if repaired.lost > 0 {
        print_message(format_args!(
            "readers get a gap with the reason `damaged` in place of each lost record"
        ));
    }
    print_message(format_args!(
        "the damaged files are kept in {}; delete them when they are no longer needed",
        kept.display()
    ));
    Ok(ExitCode::SUCCESS)
}
