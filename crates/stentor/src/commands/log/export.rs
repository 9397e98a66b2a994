//! `stentor log export`.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context;
use stentor_hub::storage::{Export, ExportFrom, Removed};
use stentor_hub::{Cursor, Filters, Form, Timestamp, TopicFilter};

use super::DataArgs;
use crate::output::{CANNOT_WRITE, print_message};

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// Export only this topic, or topics that match a pattern with `*` or `**`. Repeatable.
    #[arg(long, value_name = "FILTER", default_value = "**")]
    topic: Vec<TopicFilter>,

    /// Start at `earliest`, after the event with this id, or at a time (RFC 3339).
    #[arg(long, value_name = "WHERE", default_value = "earliest")]
    from: From,

    #[command(flatten)]
    log: DataArgs,
}

#[derive(Clone, Copy, Debug)]
struct From(ExportFrom);

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<From, String> {
        if text == "earliest" {
            return Ok(From(ExportFrom::Earliest));
        }
        if let Ok(cursor) = Cursor::from_str(text) {
            return Ok(From(ExportFrom::After(cursor)));
        }
        let since = Timestamp::from_str(text);
        since.map(|time| From(ExportFrom::Since(time))).map_err(|_| {
            "not a valid start; use `earliest`, the id of an event, or a time such as 2026-11-21T08:30:00Z"
                .to_owned()
        })
    }
}

pub(super) fn run(args: ExportArgs) -> anyhow::Result<ExitCode> {
    let filters = Filters::new(args.topic)?;
    let cannot = || format!("cannot export the log in {}", args.log.data.display());
    let mut log = args.log.open()?;
    let mut export = log.export(filters, args.from.0).with_context(cannot)?;
    match write(&mut export) {
        // The reader of the pipe has closed it.
        Err(Stop::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        Err(Stop::Write(error)) => Err(error).context(CANNOT_WRITE),
        Err(Stop::Read(error)) => Err(error).with_context(cannot),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

enum Stop {
    Read(anyhow::Error),
    Write(io::Error),
}

fn write(export: &mut Export<'_>) -> Result<(), Stop> {
    let mut stdout = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    while let Some(page) = export.next_page().map_err(|error| Stop::Read(error.into()))? {
        if let Some(removed) = &page.removed {
            report_removed(removed);
        }
        for record in &page.records {
            stdout.write_all(record.frame(Form::Ndjson).as_slice()).map_err(Stop::Write)?;
        }
    }
    stdout.flush().map_err(Stop::Write)
}

fn report_removed(removed: &Removed) {
    let topics: Vec<&str> = removed.topics.iter().map(stentor_hub::TopicName::as_str).collect();
    print_message(format_args!(
        "events were deleted before they could be exported; topics: {}",
        topics.join(", ")
    ));
}
