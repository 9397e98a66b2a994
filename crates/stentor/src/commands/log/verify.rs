//! `stentor log verify`.

use std::process::ExitCode;

use anyhow::Context;
use stentor_hub::storage::{Finding, VerifyNote};

use super::DataArgs;
use super::progress::Progress;
use crate::output::{print_line, print_message};

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    log: DataArgs,
}

pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let dir = args.log.data.display();
    let mut log = args.log.open()?;
    let mut progress = Progress::new();
    progress.show(format_args!("checking the file"));
    let findings = log.verify(&mut |note| match note {
        VerifyNote::Finding(finding) => {
            progress.clear();
            print_message(format_args!("{finding}"));
        }
        VerifyNote::Progress { records, of } => {
            progress.show(format_args!("{records} of about {of} records"));
        }
    });
    progress.clear();
    let findings = findings.with_context(|| format!("cannot verify the log in {dir}"))?;
    if findings == 0 {
        print_line(&format!("the log in {dir} is sound"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if findings > Finding::MAX {
        print_message(format_args!("{} more findings are not shown", findings - Finding::MAX));
    }
    print_message(format_args!(
        "the log in {dir} is damaged; stop the server and run `stentor log repair`, or restore it from a backup"
    ));
    Ok(ExitCode::FAILURE)
}
