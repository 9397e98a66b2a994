//! Benchmarks of the durable log. Most run the real server binary and talk to it over the network.
//!
//! Each prints Markdown tables, with the command and the machine. `docs/benchmarks.md` contains their results.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "numbers are rounded when they are printed"
)]

mod bare_sqlite;
mod context;
mod disk;
mod durable;
mod fill;
mod http;
mod machine;
mod publishers;
mod reader;
mod replay;
mod resume;
mod server;
mod stats;
mod stopped;
mod storm;
mod subscribers;
mod trim;
mod wake;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::context::Context;
use crate::machine::Machine;

#[derive(Debug, Parser)]
#[command(name = "stentor-bench", about = "Benchmarks of the durable log of Stentor")]
struct Cli {
    #[command(subcommand)]
    benchmark: Benchmark,

    /// Server binary to measure. Default: `stentor` in the directory of this program.
    #[arg(long, global = true, value_name = "FILE")]
    stentor: Option<PathBuf>,

    /// Directory for temporary logs, on a real disk. Default: the directory of this program.
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Number of repeats; the medians are printed.
    #[arg(long, global = true, value_name = "N", default_value_t = 3)]
    repeats: usize,
}

#[derive(Debug, clap::Subcommand)]
enum Benchmark {
    /// Measure durable publishes per second, compared with bare SQLite.
    Durable(durable::Args),
    /// Measure the time to the first missed event of a subscriber that resumes 20 events back.
    Resume(resume::Args),
    /// Measure a full replay, and how much it slows publishers and other subscribers.
    Replay(replay::Args),
    /// Measure the memory of subscribers that stop reading, and their catch-up.
    Stopped(stopped::Args),
    /// Measure the time until all subscribers are live again after a restart of the server.
    Storm(storm::Args),
    /// Measure the disk space that trimming frees.
    Trim(trim::Args),
    /// Measure the cost of a publish beside many subscriptions and beside readers that are stuck.
    Wake(wake::Args),
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let program = std::env::current_exe()?;
    let own_dir = program.parent().context("this program has no parent directory")?;
    let context = Context {
        stentor: cli.stentor.unwrap_or_else(|| own_dir.join("stentor")),
        dir: cli.dir.unwrap_or_else(|| own_dir.to_owned()),
        repeats: cli.repeats.max(1),
    };
    // Threads inherit the core, so pin before any is started.
    machine::pin_self(machine::LOAD_CORE)?;
    println!("{}\n", Machine::inspect(&context.dir)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.benchmark {
            Benchmark::Durable(args) => durable::run(&context, &args).await,
            Benchmark::Resume(args) => resume::run(&context, &args).await,
            Benchmark::Replay(args) => replay::run(&context, &args).await,
            Benchmark::Stopped(args) => stopped::run(&context, &args).await,
            Benchmark::Storm(args) => storm::run(&context, &args).await,
            Benchmark::Trim(args) => trim::run(&context, &args).await,
            Benchmark::Wake(args) => wake::run(&context, &args).await,
        }
    })
}
