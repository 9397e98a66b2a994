//! The shell command of `--exec`.

use std::collections::HashSet;
use std::io;
use std::process::{ExitStatus, Stdio};

use anyhow::Context;
use futures_util::future::{Either, select};
use stentor_client::EventObject;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};

use crate::output::print_message;

/// Maximum number of bytes of a variable. Linux refuses to start a program with a longer one than 128 KiB, which
/// includes the name.
const VARIABLE_BYTES_MAX: usize = 120 << 10;

/// Maximum number of bytes of a variable if the system refuses longer ones in sum: on Linux a quarter of the stack
/// limit (`ulimit -s`) holds all arguments and variables.
const SHORT_VARIABLE_BYTES_MAX: usize = 1 << 10;

/// A shell command that runs for one event after the other.
#[derive(Debug)]
pub(super) struct ExecCommand {
    line: String,
    /// The variables that were reported as left out.
    reported: HashSet<&'static str>,
}

impl ExecCommand {
    pub(super) fn new(line: String) -> ExecCommand {
        ExecCommand { line, reported: HashSet::new() }
    }

    /// Runs the command with the event's data on its stdin, and waits until it exits.
    ///
    /// A variable that is too long for the environment is left out; the first one of its name is reported.
    ///
    /// # Errors
    /// The command cannot be started.
    pub(super) async fn run(&mut self, event: &EventObject) -> anyhow::Result<ExitStatus> {
        let mut process = self.start(event).context("cannot start the command of --exec")?;
        let input = Box::pin(write_input(process.stdin.take(), event.data.as_bytes()));
        // It may exit without reading all of its input: only its exit code counts.
        let status = match select(Box::pin(process.wait()), input).await {
            Either::Left((status, _)) => status,
            Either::Right((_, wait)) => wait.await,
        };
        status.context("cannot wait for the command of --exec")
    }

    fn start(&mut self, event: &EventObject) -> io::Result<Child> {
        match self.start_with(event, VARIABLE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::ArgumentListTooLong => {
                self.start_with(event, SHORT_VARIABLE_BYTES_MAX)
            }
            started => started,
        }
    }

    /// Starts the command without the variables that have more than `bytes_max` bytes.
    fn start_with(&mut self, event: &EventObject, bytes_max: usize) -> io::Result<Child> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.line).stdin(Stdio::piped());
        // In a separate process group, the command does not get Ctrl-C and can finish its event.
        command.process_group(0);
        let mut left_out = Vec::new();
        for (name, value) in variables(event) {
            let value = value.map(|value| value.replace('\0', "\u{FFFD}"));
            match value {
                Some(value) if value.len() <= bytes_max => command.env(name, value),
                Some(value) => {
                    left_out.push((name, value.len()));
                    command.env_remove(name)
                }
                None => command.env_remove(name),
            };
        }
        let process = command.spawn()?;
        for (name, bytes) in left_out {
            if self.reported.insert(name) {
                print_message(format_args!(
                    "{name} is left out for an event: {bytes} bytes are too long for a variable (at most \
                     {bytes_max}); further ones are left out without a message"
                ));
            }
        }
        Ok(process)
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
