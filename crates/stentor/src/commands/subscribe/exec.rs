//! The command that handles each event.

use std::io;
use std::process::{ExitStatus, Stdio};

use anyhow::Context;
use futures_util::future::{Either, select};
use stentor_client::EventObject;
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, Command};

/// A shell command, run for one event after the other.
#[derive(Debug)]
pub(super) struct ExecCommand {
    line: String,
}

impl ExecCommand {
    pub(super) fn new(line: String) -> ExecCommand {
        ExecCommand { line }
    }

    /// Runs the command with the event's data on its stdin, and waits for its end.
    pub(super) async fn run(&self, event: &EventObject) -> anyhow::Result<ExitStatus> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.line).stdin(Stdio::piped());
        // A Ctrl-C in the terminal is for us, who let the event at hand be finished.
        command.process_group(0);
        for (name, value) in variables(event) {
            match value {
                Some(value) => command.env(name, value.replace('\0', "\u{FFFD}")),
                None => command.env_remove(name),
            };
        }
        let mut process = command.spawn().context("the command of --exec cannot be started")?;
        let feed = Box::pin(feed(process.stdin.take(), event.data.as_bytes()));
        // Whether all of the data was wanted is the command's affair: its exit code says how it fared.
        let status = match select(Box::pin(process.wait()), feed).await {
            Either::Left((status, _)) => status,
            Either::Right((_, wait)) => wait.await,
        };
        status.context("the command of --exec cannot be waited for")
    }
}

fn variables(event: &EventObject) -> [(&'static str, Option<&str>); 4] {
    [
        ("STENTOR_ID", event.id.as_deref()),
        ("STENTOR_TYPE", Some(&event.event_type)),
        ("STENTOR_TOPIC", event.topic.as_deref()),
        ("STENTOR_TIME", event.time.as_deref()),
    ]
}

async fn feed(stdin: Option<ChildStdin>, data: &[u8]) -> io::Result<()> {
    match stdin {
        Some(mut stdin) => stdin.write_all(data).await,
        None => Ok(()),
    }
}
