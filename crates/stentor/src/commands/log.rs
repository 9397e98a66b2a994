//! `stentor log`. Each of its commands has a file.

mod backup;
mod export;
mod import;
mod info;
mod progress;
mod repair;
mod set_time;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use stentor_hub::storage::SqliteLog;

use crate::commands::serve::DATA;
use crate::files::with_log;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum LogCommand {
    /// Show what a log contains (safe while the server runs).
    Info(info::InfoArgs),
    /// Check a log for damage (safe while the server runs).
    ///
    /// Prints each finding as one line to stderr. Exits with 0 if the log is sound, and with 1 if it is
    /// damaged or cannot be read.
    Verify(verify::VerifyArgs),
    /// Restore or drop what is damaged in a log (stop the server first).
    ///
    /// Writes a new log from the sound rows, verifies it, and puts it in place of the old one. Keeps the old files in
    /// `before-repair`. Without --accept-loss, a repair that would lose something changes nothing.
    Repair(repair::RepairArgs),
    /// Copy a log into a new directory (safe while the server runs).
    ///
    /// All or nothing: the copy appears only when it is complete. Serve it with `--data`. Subscribers resume from it
    /// with their ids, and get a gap if they have received events that the copy does not have.
    Backup(backup::BackupArgs),
    /// Print the events of a log as JSON lines (safe while the server runs).
    ///
    /// Prints the lines that a subscriber gets with `Accept: application/x-ndjson`, from the first to the newest event.
    /// Deleted topics, and topics that start with `$`, are left out.
    Export(export::ExportArgs),
    /// Create a log from an export.
    ///
    /// The directory must be new or empty. All or nothing: the log appears only when the import is complete. Events
    /// keep their times and get new ids; the old id is stored as the publisher id.
    Import(import::ImportArgs),
    /// Set the time of a log back, after a system clock that was ahead (only while no server runs).
    ///
    /// Record times never go back. So after a clock that was ahead, new events get the time of the newest event until
    /// the clock has caught up. This sets the events that are later than `--to` to that time. Their order and their ids
    /// stay. If no event is later, it changes nothing.
    SetTime(set_time::SetTimeArgs),
}

/// Option that names a log.
#[derive(Debug, clap::Args)]
struct DataArgs {
    /// Directory of the log.
    #[arg(long, value_name = "DIR", default_value = DATA, env = "STENTOR_DATA")]
    data: PathBuf,
}

impl DataArgs {
    fn open(&self) -> anyhow::Result<SqliteLog> {
        if self.data.is_file() {
            let parent = self.data.parent().filter(|parent| !parent.as_os_str().is_empty());
            bail!(
                "{} is a file; name the directory that contains it: --data {}",
                self.data.display(),
                parent.unwrap_or(Path::new(".")).display()
            );
        }
        SqliteLog::open(&self.data)
            .map_err(|error| with_log(error, "cannot read the log in", &self.data))
    }
}

pub(crate) fn run(command: LogCommand) -> anyhow::Result<ExitCode> {
    match command {
        LogCommand::Info(args) => info::run(&args),
        LogCommand::Verify(args) => verify::run(&args),
        LogCommand::Repair(args) => repair::run(&args),
        LogCommand::Backup(args) => backup::run(&args),
        LogCommand::Export(args) => export::run(args),
        LogCommand::Import(args) => import::run(&args),
        LogCommand::SetTime(args) => set_time::run(&args),
    }
}

/// Formats a number of bytes in the largest unit that fits.
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
    fn bytes_are_shown_in_the_largest_unit_that_fits() {
        assert_eq!(bytes(0), "0 bytes");
        assert_eq!(bytes(1023), "1023 bytes");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1_500_000), "1.4 MiB");
        assert_eq!(bytes(10 << 30), "10.0 GiB");
    }
}
