//! The `stentor` binary: it runs the server, or a client command against one.

mod cli;
mod commands;
mod data_url;
mod demo;
mod duration;
mod files;
mod idle_memory;
mod keys;
mod log_writer;
mod output;
mod output_thread;
mod retain;
mod runtime;
mod server;
mod signals;
mod stdout_watch;
mod usage;
mod values;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command};
use crate::commands::recording::{record, replay};
use crate::commands::{
    bench, check, completions, demo as demo_command, log as log_command, man, publish, serve,
    subscribe,
};
use crate::log_writer::LogWriter;
use crate::output::{print_message, use_color};
use crate::runtime::block_on;
use crate::usage::is_usage_error;

/// An event is often allocated by one thread and freed by another, which is slow with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    if let Err(error) = init_logging(&cli) {
        print_message(format_args!("cannot start the log: {error}"));
        return ExitCode::FAILURE;
    }
    let result = match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Demo(args)) => demo_command::run(&args),
        Some(Command::Pub(args)) => block_on(publish::run(*args)),
        Some(Command::Sub(args)) => block_on(subscribe::run(&args, cli.verbose)),
        Some(Command::Record(args)) => block_on(record::run(args)),
        Some(Command::Replay(args)) => replay::run(&args),
        Some(Command::Check(args)) => block_on(check::run(*args)),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Log(command)) => log_command::run(command),
        Some(Command::Completions(args)) => completions::run(&args, &cli::command()),
        Some(Command::Man(args)) => man::run(&args, cli::command()),
    };
    let code = result.unwrap_or_else(|error| {
        print_message(format_args!("{error:#}"));
        if is_usage_error(&error) { ExitCode::from(usage::EXIT_CODE) } else { ExitCode::FAILURE }
    });
    if let Some(log) = LogWriter::get() {
        log.flush();
    }
    code
}

/// Logs warnings to stderr; with `--verbose` also requests and refusals. `RUST_LOG` overrides both. A server never
/// waits for its log.
///
/// # Errors
/// The thread of a server's log cannot be started.
fn init_logging(cli: &Cli) -> io::Result<()> {
    // A command reports an untrusted certificate once, in its own words. h2 logs warnings that any client can cause.
    const QUIET: &str = "warn,h2=error,rustls_platform_verifier=off";
    // `stentor` covers every crate of the workspace; HTTP libraries stay at warnings.
    const VERBOSE: &str = "warn,stentor=debug,h2=error,rustls_platform_verifier=off";
    let log = if cli.serves() { Some(LogWriter::start()?) } else { None };
    let default = || EnvFilter::new(if cli.verbose { VERBOSE } else { QUIET });
    let given = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let filter = if given.trim().is_empty() {
        default()
    } else {
        EnvFilter::try_new(&given).unwrap_or_else(|_| {
            print_message(format_args!(
                "RUST_LOG={given} is ignored; write levels such as `info` or `stentor=debug`"
            ));
            default()
        })
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        // It would report an error of stderr on stderr, and panic.
        .log_internal_errors(false)
        .with_ansi(use_color(&io::stderr()));
    match log {
        Some(log) => {
            subscriber.with_writer(move || log).init();
            log_panics();
        }
        None => subscriber.with_writer(io::stderr).init(),
    }
    Ok(())
}

/// Logs panics. The usual hook writes to stderr itself, which can block.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let backtrace = Backtrace::capture();
        let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
        let backtrace = backtrace.as_ref().map(tracing::field::display);
        tracing::error!(thread = name, backtrace, "{panic}");
    }));
}
