//! What is done with each event.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use anyhow::{Context, anyhow};
use stentor_client::EventObject;

use super::exec::ExecCommand;
use super::failure::{Code, Failure, OrFail};
use super::images::Images;
use super::stream::{Content, Received};
use crate::output::{Format, Printer, print_message};
use crate::stdout_watch::StdoutWatch;

/// The signal of a write that nobody reads, which a shell tells as an exit code 128 higher.
const SIGPIPE: i32 = 13;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "What to do with each event")]
pub(super) struct SinkArgs {
    /// How to print an event: `pretty` on a terminal, else `data`, unless told otherwise.
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Take only events of this type; those without a name are of the type `message`. Repeatable.
    #[arg(long = "type", value_name = "NAME")]
    types: Vec<String>,

    /// Run this shell command for each event instead of printing it, one after the other: the data on
    /// its stdin; `STENTOR_ID`, `STENTOR_TYPE`, `STENTOR_TOPIC` and `STENTOR_TIME`, as far as known,
    /// in its environment. If it fails, so does this command.
    #[arg(long, value_name = "COMMAND", conflicts_with = "format")]
    exec: Option<String>,

    /// Write events that are images (`data:image/…;base64,` URLs) as files in this directory. The
    /// path takes the place of the data.
    #[arg(long, value_name = "DIR")]
    save_images: Option<PathBuf>,
}

/// The way that events take out of here.
pub(super) struct Sink {
    types: Vec<String>,
    images: Option<Images>,
    action: Action,
}

enum Action {
    Print(Printer),
    Run(ExecCommand),
}

/// What became of a piece of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was an event that is wanted, and has been dealt with.
    Event,
    /// There was nothing to do.
    Nothing,
    /// Nobody reads any more.
    StdoutClosed,
}

impl SinkArgs {
    /// Whether topic and time of the events are wanted.
    pub(super) fn wants_objects(&self) -> bool {
        let is_told = matches!(self.format(), Format::Json | Format::Pretty);
        is_told || self.exec.is_some() || self.save_images.is_some()
    }

    /// `is_mixed`: whether events of several topics or addresses are to be told apart.
    pub(super) fn outlet(&self, is_mixed: bool) -> Result<Sink, Failure> {
        let format = self.format();
        if format == Format::Raw && !(self.types.is_empty() && self.save_images.is_none()) {
            let error =
                anyhow!("raw shows the stream as it is; --type and --save-images do not fit");
            return Err(Failure::new(Code::Usage, error));
        }
        let images = self.save_images.as_deref().map(Images::new).transpose();
        let action = match &self.exec {
            Some(line) => Action::Run(ExecCommand::new(line.clone())),
            None => Action::Print(Printer::new(format, is_mixed)),
        };
        Ok(Sink { types: self.types.clone(), images: images.or_fail(Code::Failed)?, action })
    }

    fn format(&self) -> Format {
        self.format.unwrap_or_else(Format::of_stdout)
    }
}

impl Sink {
    /// Deals with a piece of a stream; when this returns it is done with.
    pub(super) async fn take(&mut self, received: Received) -> Result<Taken, Failure> {
        if let Action::Print(printer) = &self.action
            && has_gone(printer.bytes(&received.bytes))?
        {
            return Ok(Taken::StdoutClosed);
        }
        let Content::Event(mut event) = received.content else { return Ok(Taken::Nothing) };
        if !self.types.is_empty() && !self.types.contains(&event.event_type) {
            return Ok(Taken::Nothing);
        }
        if let Some(images) = &mut self.images {
            save(images, &mut event)?;
        }
        match &self.action {
            Action::Print(printer) => {
                let has_gone = has_gone(printer.event(&event, &received.name))?;
                Ok(if has_gone { Taken::StdoutClosed } else { Taken::Event })
            }
            Action::Run(handler) => run(handler, &event).await,
        }
    }

    /// Whether it writes to stdout itself.
    pub(super) fn prints(&self) -> bool {
        matches!(self.action, Action::Print(_))
    }
}

fn save(images: &mut Images, event: &mut EventObject) -> Result<(), Failure> {
    match images.save(event).or_fail(Code::Failed)? {
        Some(path) => event.data = path.to_string_lossy().into_owned(),
        None if event.data.starts_with("data:image/") => {
            print_message(format_args!("an image cannot be read as one, and stays as it is"));
        }
        None => {}
    }
    Ok(())
}

async fn run(handler: &ExecCommand, event: &EventObject) -> Result<Taken, Failure> {
    let status = handler.run(event).await.or_fail(Code::Command)?;
    if status.success() {
        return Ok(Taken::Event);
    }
    let was_cut_off = status.signal() == Some(SIGPIPE) || status.code() == Some(128 + SIGPIPE);
    if was_cut_off && StdoutWatch::new().is_closed().await {
        return Ok(Taken::StdoutClosed);
    }
    let id = event.id.as_deref().unwrap_or_default();
    let error = anyhow!("the command of --exec failed ({status}) at the event with the id {id:?}");
    Err(Failure::new(Code::Command, error))
}

/// Whether nobody reads stdout any more, which is no failure.
fn has_gone(written: io::Result<()>) -> Result<bool, Failure> {
    match written {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        Err(error) => Err(error).context("stdout cannot be written").or_fail(Code::Failed),
    }
}
