//! The command line.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::recording::{record, replay};
use crate::commands::{bench, check, completions, demo, log, man, publish, serve, subscribe};

/// Of every command that does not tell its own.
const EXIT_CODES: &str = "\
Exit codes:
  0  it is done, or nobody reads the output any more
  1  it failed: refused, unreachable, or not to be read or written
  2  the command line is wrong";

/// A real-time event server: publish with a POST, receive with an EventSource, nothing lost or doubled.
///
/// Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "stentor", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) serve: serve::ServeArgs,

    /// Say more on stderr; `RUST_LOG` says more precisely what.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve topics over HTTP.
    Serve(serve::ServeArgs),
    /// Serve the five example programs, or one of them as it was.
    Demo(demo::DemoArgs),
    /// Publish events.
    ///
    /// The ids go to stdout: that of an event which was published by itself, and of several that went
    /// together that of the last. What a restart of the server leaves without an answer is sent again,
    /// and is there once. Only a server that was never there is not waited for, but for --lines,
    /// --repeat, --every and --from.
    Pub(publish::PubArgs),
    /// Print events as they come.
    Sub(Box<subscribe::SubArgs>),
    /// Write a stream with its timing to a file.
    ///
    /// It goes on over reconnects until the stream is over, or is stopped, such as by Ctrl-C. Each line
    /// of the file is JSON, to be read, cut and searched. A secret in the address is kept in it.
    Record(record::RecordArgs),
    /// Serve a recording with its timing, publish it, or print it.
    ///
    /// It is served at every path of the address. Each reader gets it from its start, or behind its
    /// `Last-Event-ID`, and at the end a 204.
    Replay(replay::ReplayArgs),
    /// Examine a stream of any server, and say what is wrong with it and how to mend it.
    Check(Box<check::CheckArgs>),
    Bench(Box<bench::BenchArgs>),
    /// Look into a log on disk, verify it, copy it, or move its events.
    #[command(subcommand)]
    Log(log::LogCommand),
    /// Print the script with which a shell completes this command.
    ///
    /// It belongs where the shell looks for it: `source <(stentor completions bash)` in `~/.bashrc`,
    /// `stentor completions zsh > ~/.zfunc/_stentor`,
    /// `stentor completions fish > ~/.config/fish/completions/stentor.fish`.
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write the pages of all commands.
    ///
    /// `stentor man | man -l -` shows it.
    Man(man::ManArgs),
}

impl Cli {
    /// Reads the command line; help, and what is wrong with it, end the program.
    pub(crate) fn read() -> Cli {
        let matches = command().get_matches();
        Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// The whole command line, with the exit codes in every help.
pub(crate) fn command() -> clap::Command {
    fn with_exit_codes(command: clap::Command) -> clap::Command {
        let command = command.mut_subcommands(with_exit_codes);
        if command.get_after_help().is_some() { command } else { command.after_help(EXIT_CODES) }
    }
    with_exit_codes(Cli::command())
}
