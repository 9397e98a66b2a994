//! Benchmarks of the durable log: one question each, asked of the real server binary over the network.
//!
//! Each prints a Markdown table with the machine it ran on. `docs/benchmarks.md` holds what they said.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "figures are rounded when they are printed"
)]

mod bare;
mod crowd;
mod disk;
mod durable;
mod fill;
mod http;
mod load;
mod machine;
mod measure;
mod reader;
mod replay;
mod resume;
mod server;
mod stopped;
mod storm;
mod trim;

use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use crate::machine::Machine;

#[derive(Debug, Parser)]
#[command(name = "stentor-bench", about = "What the durable log of Stentor does, in figures")]
struct Cli {
    #[command(subcommand)]
    question: Question,

    /// The server to measure [default: `stentor` beside this program].
    #[arg(long, global = true, value_name = "FILE")]
    stentor: Option<PathBuf>,

    /// Where the logs are put for the time of the run; a real disk [default: beside this program].
    #[arg(long, global = true, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// How often everything is measured; the medians are printed.
    #[arg(long, global = true, value_name = "N", default_value_t = 3)]
    repeats: usize,
}

#[derive(Debug, clap::Subcommand)]
enum Question {
    /// How many events are made durable in a second, against bare SQLite.
    Durable(durable::Args),
    /// How long a reader waits that comes back 20 events behind, in a short and a long log.
    Resume(resume::Args),
    /// What a full replay takes from the server, from publishers and from other readers.
    Replay(replay::Args),
    /// What readers that stop cost, and whether they catch up.
    Stopped(stopped::Args),
    /// How long it takes until all readers are live again that come back at once after a restart.
    Storm(storm::Args),
    /// How much space is given back.
    Trim(trim::Args),
}

/// What all questions need.
struct Bench {
    stentor: PathBuf,
    dir: PathBuf,
    repeats: usize,
}

impl Bench {
    fn temp_dir(&self) -> anyhow::Result<tempfile::TempDir> {
        let made = tempfile::Builder::new().prefix("stentor-bench-").tempdir_in(&self.dir);
        made.with_context(|| format!("no directory can be made in {}", self.dir.display()))
    }
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let program = std::env::current_exe()?;
    let beside = program.parent().context("the program is in no directory")?;
    let bench = Bench {
        stentor: cli.stentor.unwrap_or_else(|| beside.join("stentor")),
        dir: cli.dir.unwrap_or_else(|| beside.to_owned()),
        repeats: cli.repeats.max(1),
    };
    // Before any thread is begun, so that all of them stay on the load's core.
    machine::pin_self(machine::LOAD_CORE)?;
    println!("{}\n", Machine::look(&bench.dir)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.question {
            Question::Durable(args) => durable::run(&bench, &args).await,
            Question::Resume(args) => resume::run(&bench, &args).await,
            Question::Replay(args) => replay::run(&bench, &args).await,
            Question::Stopped(args) => stopped::run(&bench, &args).await,
            Question::Storm(args) => storm::run(&bench, &args).await,
            Question::Trim(args) => trim::run(&bench, &args).await,
        }
    })
}
