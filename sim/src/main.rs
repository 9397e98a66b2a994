//! Runs the simulator.
//!
//! ```sh
//! cargo run -p stentor-sim -- --seconds 10
//! ```

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use stentor_sim::{Batch, Options, Report, run, shrink};

/// Number of actions that are shown of a failed run.
const LINES_SHOWN: usize = 60;
/// Number of broken guarantees that are shown.
const VIOLATIONS_SHOWN: usize = 10;
/// Run time without options.
const SECONDS: u64 = 60;

/// Runs hub, shards and clients over simulated storage, sockets and time, and judges what readers received.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Run this seed only
    #[arg(long, conflicts_with_all = ["seeds", "seconds", "long", "first"])]
    seed: Option<u64>,
    /// Run the seeds from this one on [default: at random]
    #[arg(long)]
    first: Option<u64>,
    /// Run this number of seeds
    #[arg(long)]
    seeds: Option<u64>,
    /// Run new seeds for this number of seconds [default: 60]
    #[arg(long)]
    seconds: Option<u64>,
    /// Run new seeds for this number of hours
    #[arg(long, value_name = "HOURS", conflicts_with = "seconds")]
    long: Option<u64>,
    /// Number of steps of each seed before its disturbances end
    #[arg(long, default_value_t = Options::default().steps)]
    steps: u64,
    /// Leave out this reader (repeatable)
    #[arg(long, value_name = "NUMBER")]
    without_reader: Vec<usize>,
    /// Leave out this publisher (repeatable)
    #[arg(long, value_name = "NUMBER")]
    without_publisher: Vec<usize>,
    /// Write the actions of the failed or only run to this file
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Number of seeds that run at once [default: the number of cores]
    #[arg(long)]
    jobs: Option<usize>,
}

impl Args {
    fn options(&self) -> Options {
        Options {
            steps: self.steps,
            without_readers: self.without_reader.clone(),
            without_publishers: self.without_publisher.clone(),
        }
    }

    fn time(&self) -> Duration {
        match (self.long, self.seconds) {
            (Some(hours), _) => Duration::from_hours(hours),
            (None, Some(seconds)) => Duration::from_secs(seconds),
            (None, None) if self.seeds.is_some() => Duration::MAX,
            (None, None) => Duration::from_secs(SECONDS),
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    match args.seed {
        Some(seed) => one(seed, &args),
        None => many(&args),
    }
}

fn one(seed: u64, args: &Args) -> ExitCode {
    let report = run(seed, &args.options(), lines(args));
    write_trace(args, &report);
    println!("seed {seed}: {} actions, trace {:016x}", report.actions, report.hash);
    println!("{}", report.counts);
    if report.violations.is_empty() {
        return ExitCode::SUCCESS;
    }
    show(&report, args);
    ExitCode::FAILURE
}

/// Runs seeds until the time is over or one fails.
fn many(args: &Args) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let batch = Batch {
        first: args.first.unwrap_or_else(|| fastrand::u64(0..1 << 48)),
        seeds: args.seeds.unwrap_or(u64::MAX),
        time: args.time(),
        jobs: args.jobs.unwrap_or(cores),
        options: args.options(),
    };
    println!("seeds from {} on", batch.first);
    let total = batch.run();
    println!("{total}");
    let Some(failed) = total.failed else { return ExitCode::SUCCESS };
    let again = run(failed.seed, &batch.options, lines(args));
    if again.hash != failed.hash {
        println!("seed {} does not repeat itself: its trace differs from run to run", failed.seed);
    }
    write_trace(args, &again);
    show(&again, args);
    let smaller = shrink(failed.seed, &batch.options);
    println!("a smaller run that fails: {}", command(failed.seed, &smaller));
    ExitCode::FAILURE
}

/// Number of actions whose text is needed.
fn lines(args: &Args) -> usize {
    if args.trace.is_some() { usize::MAX } else { LINES_SHOWN }
}

fn write_trace(args: &Args, report: &Report) {
    if let Some(path) = &args.trace
        && let Err(error) = std::fs::write(path, &report.trace)
    {
        eprintln!("cannot write {}: {error}", path.display());
    }
}

/// Shows a failed run.
fn show(report: &Report, args: &Args) {
    let lines: Vec<&str> = report.trace.lines().collect();
    for line in lines.iter().skip(lines.len().saturating_sub(LINES_SHOWN)) {
        println!("{line}");
    }
    println!("seed {}: {} broken guarantees", report.seed, report.violations.len());
    for violation in report.violations.iter().take(VIOLATIONS_SHOWN) {
        println!("  {violation}");
    }
    println!("to repeat it: {}", command(report.seed, &args.options()));
}

fn command(seed: u64, options: &Options) -> String {
    let Options { steps, without_readers, without_publishers } = options;
    let mut command =
        format!("cargo run -p stentor-sim -- --seed {seed} --steps {steps} --trace sim.trace");
    for number in without_readers {
        command.extend([" --without-reader ".to_owned(), number.to_string()]);
    }
    for number in without_publishers {
        command.extend([" --without-publisher ".to_owned(), number.to_string()]);
    }
    command
}
