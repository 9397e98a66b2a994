//! The command line.

use clap::{Parser, Subcommand};

use crate::commands::{check, demo, log, publish, serve, subscribe};

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
    /// Publish an event.
    Pub(publish::PubArgs),
    /// Print events as they come.
    Sub(subscribe::SubArgs),
    /// Examine a stream of any server, and say what is wrong with it and how to mend it.
    Check(Box<check::CheckArgs>),
    /// Look into a log on disk, verify it, copy it, or move its events.
    #[command(subcommand)]
    Log(log::LogCommand),
}
