//! The command line.

use std::io;
use std::process::ExitCode;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::recording::{record, replay};
use crate::commands::{bench, check, completions, demo, log, man, publish, serve, subscribe};
use crate::output::print_message;

/// Help text for the exit codes of every command that does not define its own.
const EXIT_CODES: &str = "\
Exit codes:
  0  success; also if the output pipe was closed
  1  failed: the server refused it or is unreachable, or a file cannot be read or written
  2  the command line is wrong";

/// Commands that use no server, with all of their subcommands.
const LOCAL_COMMANDS: [&str; 3] = ["log", "completions", "man"];

/// Help text for the exit codes of [`LOCAL_COMMANDS`].
const LOCAL_EXIT_CODES: &str = "\
Exit codes:
  0  success; also if the output pipe was closed
  1  failed: a file cannot be read or written
  2  the command line is wrong";

/// A real-time event server: publish with a POST, receive with an EventSource, nothing lost or duplicated.
///
/// Without a command, runs `serve`.
#[derive(Debug, Parser)]
#[command(name = "stentor", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) serve: serve::ServeArgs,

    /// Log more to stderr: a server logs each request and refusal, `sub` says when it is connected.
    /// Fine-tune with `RUST_LOG` [default: warnings only].
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve topics over HTTP.
    Serve(serve::ServeArgs),
    /// Run the five example apps, or one of them alone.
    Demo(demo::DemoArgs),
    /// Publish events, and print their ids.
    ///
    /// Prints the id of each event; for events sent as a group, the id of the last.
    ///
    /// Retries safely if the server restarts: nothing is published twice. If the server is not up at the
    /// start, fails at once; with --lines, --repeat, --every or --from it waits.
    Pub(Box<publish::PubArgs>),
    /// Print events as they arrive.
    ///
    /// Reconnects automatically and continues after the last event. Ends when the topics have ended, or when
    /// the server responds with 204.
    Sub(Box<subscribe::SubArgs>),
    /// Record a stream with its timing to a file.
    ///
    /// Reconnects until the stream ends or you press Ctrl-C. The file is JSON lines. A secret in the URL
    /// is stored too.
    Record(record::RecordArgs),
    /// Serve a recording with its original timing, publish it, or print it.
    ///
    /// Serves the recording at every path, from its start or after the `Last-Event-ID` of the request. A
    /// subscriber that has received everything gets 204.
    Replay(replay::ReplayArgs),
    /// Diagnose any SSE endpoint: what is wrong and how to fix it.
    Check(Box<check::CheckArgs>),
    Bench(Box<bench::BenchArgs>),
    /// Inspect, verify, back up, export and import a log.
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Print the completion script for a shell.
    ///
    /// bash: `source <(stentor completions bash)` in `~/.bashrc`;
    /// zsh: `stentor completions zsh > ~/.zfunc/_stentor`;
    /// fish: `stentor completions fish > ~/.config/fish/completions/stentor.fish`.
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write the pages of all commands.
    ///
    /// To read it: `stentor man | man -l -`.
    Man(man::ManArgs),
}

impl Cli {
    /// Returns `true` for a command that runs a server.
    pub(crate) fn serves(&self) -> bool {
        match &self.command {
            None | Some(Command::Serve(_) | Command::Demo(_)) => true,
            Some(Command::Replay(args)) => args.serves(),
            Some(_) => false,
        }
    }

    /// Parses the command line. Prints help and errors itself.
    ///
    /// # Errors
    /// The exit code of the program, if it must end now: after `--help` or `--version`, or because the command line
    /// is wrong.
    pub(crate) fn read() -> Result<Cli, ExitCode> {
        let parsed = command().try_get_matches().and_then(|matches| {
            serve::check_conflicts(matches.subcommand_matches("serve").unwrap_or(&matches))?;
            Cli::from_arg_matches(&matches)
        });
        parsed.map_err(with_tip).map_err(|error| match error.print() {
            Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
                print_message(format_args!("cannot write the help: {cause}"));
                ExitCode::FAILURE
            }
            _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)),
        })
    }
}

/// Returns the whole command line, with the exit codes in every help.
///
/// Its texts do not depend on the environment: help names a variable, but not its value, and a usage line
/// does not list options that a variable sets.
pub(crate) fn command() -> clap::Command {
    let mut built = Cli::command();
    built.build();
    complete(Cli::command(), &mut built, EXIT_CODES)
}

/// Adds a tip to a command-line error that has one.
fn with_tip(mut error: clap::Error) -> clap::Error {
    let Some(tip) = tip(&error) else { return error };
    let tip = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
    error.insert(ContextKind::Suggested, tip);
    error
}

fn tip(error: &clap::Error) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    match (error.kind(), text(ContextKind::InvalidArg), text(ContextKind::InvalidSubcommand)) {
        (ErrorKind::UnknownArgument, "--port" | "-p", _) => {
            Some("the port is part of the address: --listen 127.0.0.1:9000".to_owned())
        }
        (ErrorKind::UnknownArgument, argument, _)
            if !argument.starts_with('-') && std::env::args().nth(1).as_deref() == Some("log") =>
        {
            Some(format!("the directory of the log is an option: --data {argument}"))
        }
        (ErrorKind::ArgumentConflict, argument, _) if argument.starts_with("--exec") => {
            Some("the command of --exec gets the data on stdin; nothing is printed".to_owned())
        }
        (ErrorKind::InvalidSubcommand, _, "delete") => {
            Some("to delete a topic: curl -X DELETE http://localhost:8080/topics/TOPIC".to_owned())
        }
        _ => None,
    }
}

/// Adds the usage line and the exit codes to a command and its subcommands. `built` is the command with its full
/// name, which the usage line needs. `exit_codes` is the default of its parent.
fn complete(
    command: clap::Command,
    built: &mut clap::Command,
    exit_codes: &'static str,
) -> clap::Command {
    let is_local = LOCAL_COMMANDS.contains(&command.get_name());
    let exit_codes = if is_local { LOCAL_EXIT_CODES } else { exit_codes };
    let usage = built.render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage).to_owned();
    let command = command.override_usage(usage).mut_args(|arg| arg.hide_env_values(true));
    let command = command.mut_subcommands(|subcommand| {
        match built.find_subcommand_mut(subcommand.get_name()) {
            Some(built) => complete(subcommand, built, exit_codes),
            None => subcommand,
        }
    });
    if command.get_after_help().is_some() { command } else { command.after_help(exit_codes) }
}
