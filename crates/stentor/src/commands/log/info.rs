//! `stentor log info`.

use std::fmt::Write;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Value, json};
use stentor_hub::storage::LogInfo;

use super::{DataArgs, bytes};
use crate::output::{escaped, print_line};

#[derive(Debug, clap::Args)]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    log: DataArgs,

    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &InfoArgs) -> anyhow::Result<ExitCode> {
    let cannot = || format!("cannot read the log in {}", args.log.data.display());
    let info = args.log.open()?.info().with_context(cannot)?;
    if args.json {
        print_line(&object(&info).to_string())?;
    } else {
        print_line(table(&info).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn object(info: &LogInfo) -> Value {
    json!({
        "directory": info.dir.to_string_lossy(),
        "format": info.format,
        "epoch": info.epoch.to_string(),
        "in_use": info.in_use,
        "process": info.process,
        "clean": info.clean,
        "tail": info.tail.to_string(),
        "tail_offset": info.tail.offset.get(),
        "records": info.records,
        "events": info.events,
        "event_bytes": info.event_bytes,
        "topics": info.topics,
        "ended_topics": info.ended_topics,
        "oldest": info.oldest.map(|time| time.to_string()),
        "newest": info.newest.map(|time| time.to_string()),
        "burned_ranges": info.burned_ranges,
        "keys": info.keys,
        "leases": info.leases,
        "database_bytes": info.database_bytes,
        "free_bytes": info.free_bytes,
        "wal_bytes": info.wal_bytes,
    })
}

fn table(info: &LogInfo) -> String {
    let time = |time: Option<_>| {
        time.map_or("-".to_owned(), |time: stentor_hub::Timestamp| time.to_string())
    };
    let state = match (info.in_use, info.process, info.clean) {
        (true, Some(process), _) => format!("in use by process {process}"),
        (true, None, _) => "in use".to_owned(),
        (false, _, true) => "closed".to_owned(),
        (false, _, false) => {
            "not closed properly; the next start skips the reserved offsets".to_owned()
        }
    };
    let rows = [
        ("directory", escaped(&info.dir.to_string_lossy())),
        ("format", info.format.to_string()),
        ("epoch", info.epoch.to_string()),
        ("state", state),
        ("tail", format!("{} (id {})", info.tail.offset, info.tail)),
        ("records", info.records.to_string()),
        ("events", format!("{}, {} of data", info.events, bytes(info.event_bytes))),
        ("topics", format!("{}, {} of them ended", info.topics, info.ended_topics)),
        ("oldest", time(info.oldest)),
        ("newest", time(info.newest)),
        ("burned", format!("{} ranges of offsets", info.burned_ranges)),
        ("keys", info.keys.to_string()),
        ("leases", info.leases.to_string()),
        (
            "database",
            format!("{}, {} of it free", bytes(info.database_bytes), bytes(info.free_bytes)),
        ),
        ("write-ahead", bytes(info.wal_bytes)),
    ];
    let mut table = String::new();
    for (name, value) in rows {
        let _ = writeln!(table, "{name:<12} {value}");
    }
    table
}
