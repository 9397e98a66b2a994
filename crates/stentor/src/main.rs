//! The one binary: it composes storage, hub and server, or drives the client.

mod cli;
mod commands;
mod demo;
mod duration;
mod output;
mod retain;
mod server;
mod signals;
mod stdout_watch;

use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};
use crate::commands::recording::{record, replay};
use crate::commands::{
    bench, check, completions, demo as demo_command, log as log_command, man, publish, serve,
    subscribe,
};
use crate::output::use_color;

/// Events are allocated by the core that reads them and freed by the thread that stores them, which the
/// system's allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::read();
    log(cli.verbose);
    let result = match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Demo(args)) => demo_command::run(&args),
        Some(Command::Pub(args)) => on_one_thread(publish::run(args)),
        Some(Command::Sub(args)) => on_one_thread(subscribe::run(&args)),
        Some(Command::Record(args)) => on_one_thread(record::run(args)),
        Some(Command::Replay(args)) => replay::run(&args),
        Some(Command::Check(args)) => on_one_thread(check::run(*args)),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Log(command)) => log_command::run(command),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Man(args)) => man::run(&args),
    };
    result.unwrap_or_else(|error| {
        output::print_message(format_args!("{error:#}"));
        ExitCode::FAILURE
    })
}

fn on_one_thread(
    command: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// Quiet unless something is wrong, or more was asked for.
fn log(verbose: bool) {
    let level = if verbose { "info" } else { "warn" };
    // A certificate that is not trusted is told by the command, once and in its own words.
    let default = format!("{level},rustls_platform_verifier=off");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(use_color(&std::io::stderr()))
        .init();
}
