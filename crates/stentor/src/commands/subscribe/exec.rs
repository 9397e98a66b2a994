//! The shell command of `--exec`.

use std::io;
use std::process::{ExitStatus, Stdio};

use anyhow::Context;
use futures_util::future::{Either, select};
use stentor_client::EventObject;
use tokio::io::AsyncWriteExt;
use tokio::process::{ChildStdin, Command};

/// A shell command that runs for one event after the other.
#[derive(Debug)]
pub(super) struct ExecCommand {
    line: String,
}

impl ExecCommand {
    pub(super) fn new(line: String) -> ExecCommand {
        ExecCommand { line }
    }

    /// Runs the command with the event's data on its stdin, and waits until it exits.
    ///
    /// # Errors
    /// The command cannot be started.
    pub(super) async fn run(&self, event: &EventObject) -> anyhow::Result<ExitStatus> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.line).stdin(Stdio::piped());
        // In a separate process group, the command does not get Ctrl-C and can finish its event.
        command.process_group(0);
        for (name, value) in variables(event) {
            match value {
                Some(value) => command.env(name, value.replace('\0', "\u{FFFD}")),
                None => command.env_remove(name),
            };
        }
        let mut process = command.spawn().context("cannot start the command of --exec")?;
        let input = Box::pin(write_input(process.stdin.take(), event.data.as_bytes()));
        // It may exit without reading all of its input: only its exit code counts.
        let status = match select(Box::pin(process.wait()), input).await {
            Either::Left((status, _)) => status,
            Either::Right((_, wait)) => wait.await,
        };
        status.context("cannot wait for the command of --exec")
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

async fn write_input(stdin: Option<ChildStdin>, data: &[u8]) -> io::Result<()> {
    match stdin {
        Some(mut stdin) => stdin.write_all(data).await,
        None => Ok(()),
    }
}
