//! `stentor log import`.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use stentor_hub::storage::SqliteLog;

use super::DataArgs;
use super::progress::Progress;
use crate::files::open_file;
use crate::output::print_message;

#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// File to import; `-` is stdin (default: stdin).
    file: Option<PathBuf>,

    #[command(flatten)]
    log: DataArgs,
}

pub(super) fn run(args: &ImportArgs) -> anyhow::Result<ExitCode> {
    let mut input = input(args.file.as_deref())?;
    let mut progress = Progress::new();
    let mut tell = |done: stentor_hub::storage::Imported| {
        progress.show(format_args!("{} records", done.records));
    };
    let dir = args.log.data.display();
    let import = SqliteLog::import(&args.log.data, &mut *input, &mut tell);
    let imported = tokio::runtime::Builder::new_current_thread().build()?.block_on(import);
    progress.clear();
    let imported =
        imported.with_context(|| format!("cannot import into {dir}; nothing was imported"))?;
    print_message(format_args!("imported {} events and ends into {dir}", imported.records));
    Ok(ExitCode::SUCCESS)
}

fn input(file: Option<&Path>) -> anyhow::Result<Box<dyn BufRead>> {
    match file {
        Some(path) if path != Path::new("-") => {
            let file =
                open_file(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Box::new(BufReader::new(file)))
        }
        _ => Ok(Box::new(BufReader::new(io::stdin()))),
    }
}
