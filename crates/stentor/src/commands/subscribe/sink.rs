//! Handles each event: prints it, saves its image, or runs a command.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use stentor_client::EventObject;

use super::exec::ExecCommand;
use super::failure::{Code, Failure, OrFail};
use super::images::Images;
use super::stream::{Content, Received};
use crate::output::{CANNOT_WRITE, Format, Printer, print_message};
use crate::output_thread::OutputThread;
use crate::stdout_watch::StdoutWatch;
use crate::values;

/// The signal for a write to a closed pipe. A shell reports it as exit code 128 + 13.
const SIGPIPE: i32 = 13;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Output")]
pub(super) struct SinkArgs {
    /// Output format [default: `pretty` on a terminal, else `data`].
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Only events of this type (an event without a type is a `message`). Repeatable.
    #[arg(long = "type", value_name = "NAME", value_parser = values::type_filter)]
    types: Vec<String>,

    /// Run a shell command for each event, one after the other, instead of printing it (so without
    /// --format); stop with exit code 5 if it fails. It gets the data on stdin, and `STENTOR_ID`,
    /// `STENTOR_TYPE`, `STENTOR_TOPIC` and `STENTOR_TIME`, if known, in its environment.
    #[arg(long, value_name = "COMMAND", conflicts_with = "format")]
    exec: Option<String>,

    /// Save images (`data:image/…;base64,` URLs) to files in this directory, and replace the data by the
    /// path.
    #[arg(long, value_name = "DIR")]
    save_images: Option<PathBuf>,
}

/// The handling of events.
pub(super) struct Sink {
    types: Vec<String>,
    images: Option<Images>,
    action: Action,
}

enum Action {
    Print { printer: Printer, stdout: OutputThread },
    Exec(ExecCommand),
}

/// The result of handling a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handled {
    /// It was a selected event, which was handled.
    Event,
    /// There was nothing to do.
    Nothing,
    /// Stdout was closed.
    StdoutClosed,
    /// The subscription stopped while stdout took no data. The event is printed partly, so it does not count.
    Blocked,
}

impl SinkArgs {
    /// `true` if the topic and time of events are needed.
    pub(super) fn wants_objects(&self) -> bool {
        let shows_them = matches!(self.format(), Format::Json | Format::Pretty);
        shows_them || self.exec.is_some() || self.save_images.is_some()
    }

    /// Returns the handling of events. `is_mixed` means that the events belong to several topics or URLs.
    ///
    /// # Errors
    /// The options contradict each other, or the directory for images cannot be created.
    pub(super) fn sink(&self, is_mixed: bool) -> Result<Sink, Failure> {
        let format = self.format();
        if format == Format::Raw && !(self.types.is_empty() && self.save_images.is_none()) {
            let error = anyhow!(
                "--format raw prints the stream unchanged, so --type and --save-images have no effect; \
                 leave them out"
            );
            return Err(Failure::new(Code::Usage, error));
        }
        let images = self.save_images.as_deref().map(Images::new).transpose();
        let action = match &self.exec {
            Some(line) => Action::Exec(ExecCommand::new(line.clone())),
            None => Action::Print {
                printer: Printer::new(format, is_mixed),
                stdout: OutputThread::stdout(),
            },
        };
        Ok(Sink { types: self.types.clone(), images: images.or_fail(Code::Failed)?, action })
    }

    fn format(&self) -> Format {
        self.format.unwrap_or_else(Format::of_stdout)
    }
}

impl Sink {
    /// Handles a chunk of a stream completely. If the future is dropped while stdout takes no data, the event is
    /// printed partly.
    pub(super) async fn handle(&mut self, received: Received) -> Result<Handled, Failure> {
        let event = match received.content {
            Content::Event(event) if self.selects(&event) => Some(event),
            _ => None,
        };
        if let Action::Print { printer, stdout } = &mut self.action
            && printer.is_raw()
        {
            let handled = if event.is_some() { Handled::Event } else { Handled::Nothing };
            let is_closed = is_closed(stdout.write(received.bytes).await)?;
            return Ok(if is_closed { Handled::StdoutClosed } else { handled });
        }
        let Some(mut event) = event else { return Ok(Handled::Nothing) };
        if let Some(images) = &mut self.images {
            save(images, &mut event)?;
        }
        match &mut self.action {
            Action::Print { printer, stdout } => {
                let text = printer.text(&event, &received.name);
                let text = text.context(CANNOT_WRITE).or_fail(Code::Failed)?.unwrap_or_default();
                let is_closed = is_closed(stdout.write(text.into_bytes()).await)?;
                Ok(if is_closed { Handled::StdoutClosed } else { Handled::Event })
            }
            Action::Exec(command) => run(command, &event).await,
        }
    }

    fn selects(&self, event: &EventObject) -> bool {
        self.types.is_empty() || self.types.contains(&event.event_type)
    }

    /// `true` if it writes to stdout itself.
    pub(super) fn prints(&self) -> bool {
        matches!(self.action, Action::Print { .. })
    }
}

fn save(images: &mut Images, event: &mut EventObject) -> Result<(), Failure> {
    match images.save(event).or_fail(Code::Failed)? {
        Some(path) => event.data = path.to_string_lossy().into_owned(),
        None if event.data.starts_with("data:image/") => {
            print_message(format_args!("an image cannot be decoded; its data stays unchanged"));
        }
        None => {}
    }
    Ok(())
}

async fn run(command: &mut ExecCommand, event: &EventObject) -> Result<Handled, Failure> {
    let status = command.run(event).await.or_fail(Code::Command)?;
    if status.success() {
        return Ok(Handled::Event);
    }
    let has_sigpipe = status.signal() == Some(SIGPIPE) || status.code() == Some(128 + SIGPIPE);
    if has_sigpipe && StdoutWatch::new().is_closed().await {
        return Ok(Handled::StdoutClosed);
    }
    let id = event.id.as_deref().unwrap_or_default();
    let error = anyhow!("the command of --exec failed ({status}) for the event with the id {id:?}");
    Err(Failure::new(Code::Command, error))
}

/// Returns `true` if stdout is closed, which is not a failure.
fn is_closed(written: io::Result<()>) -> Result<bool, Failure> {
    match written {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        Err(error) => Err(error).context(CANNOT_WRITE).or_fail(Code::Failed),
    }
}
