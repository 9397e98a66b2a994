//! `stentor log`: one file for each of its commands.

mod backup;
mod export;
mod import;
mod info;
mod progress;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use stentor_hub::storage::SqliteLog;

use crate::commands::serve::DATA;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum LogCommand {
    /// Say what there is in a log, also while it is served.
    Info(info::InfoArgs),
    /// Read all of a log, also while it is served, and say what is not as it was written.
    ///
    /// Findings go to stderr, one per line. Exits with 0 if the log is sound and with 1 if it is damaged
    /// or cannot be read.
    Verify(verify::VerifyArgs),
    /// Copy a log, also while it is served, into a directory that can be served in its place.
    ///
    /// The copy is whole or not there at all. It is of the same history: readers go on with the ids that
    /// they have, and are told a gap if they have read more than there is in the copy.
    Backup(backup::BackupArgs),
    /// Write the events and ends of a log to stdout, one JSON object per line, also while it is served.
    ///
    /// The lines are those that a reader of NDJSON gets from the earliest event to the tail. Topics
    /// under `$` and deleted ones are left out.
    Export(export::ExportArgs),
    /// Make a new log of an export.
    ///
    /// Events get new ids and keep their times; the old id is kept as the publisher's. The log is there
    /// when all lines are in it, and not before.
    Import(import::ImportArgs),
}

/// Which log.
#[derive(Debug, clap::Args)]
struct DataArgs {
    /// The directory of the log.
    #[arg(long, value_name = "DIR", default_value = DATA, env = "STENTOR_DATA")]
    data: PathBuf,
}

impl DataArgs {
    fn open(&self) -> anyhow::Result<SqliteLog> {
        SqliteLog::open(&self.data)
            .with_context(|| format!("the log in {} cannot be read", self.data.display()))
    }
}

pub(crate) fn run(command: LogCommand) -> anyhow::Result<ExitCode> {
    match command {
        LogCommand::Info(args) => info::run(&args),
        LogCommand::Verify(args) => verify::run(&args),
        LogCommand::Backup(args) => backup::run(&args),
        LogCommand::Export(args) => export::run(args),
        LogCommand::Import(args) => import::run(&args),
    }
}

/// A number of bytes for people.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let (mut tenths, mut unit) = (bytes.saturating_mul(10) / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).unwrap_or(&""))
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        assert_eq!(bytes(0), "0 bytes");
        assert_eq!(bytes(1023), "1023 bytes");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1_500_000), "1.4 MiB");
        assert_eq!(bytes(10 << 30), "10.0 GiB");
    }
}
