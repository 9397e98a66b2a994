//! The simulator is repeatable and causes every kind of fault, and no guarantee breaks.

use std::thread;
use std::time::Duration;

use stentor_sim::{Batch, Options, Report, run};

/// Environment variable: the number of seconds for which new seeds run. Default: 5.
const SECONDS: &str = "STENTOR_SIM_SECONDS";
/// Number of seeds that together contain every kind of fault and outcome.
const SEEDS: u64 = 100;

fn reports() -> Vec<Report> {
    (0..8).map(|seed| run(seed, &Options::default(), 0)).collect()
}

#[test]
fn a_seed_gives_one_trace() {
    // Threads of their own: each has other keys for its hash maps.
    let [first, second] = [(), ()].map(|()| thread::spawn(reports).join().unwrap_or_default());
    assert_eq!(first.len(), 8);
    for (first, second) in first.iter().zip(&second) {
        let of = |report: &Report| (report.hash, report.actions, report.violations.clone());
        assert_eq!(of(first), of(second), "seed {} differs from run to run", first.seed);
    }
}

#[test]
fn different_seeds_give_different_traces() {
    let mut hashes: Vec<u64> = reports().iter().map(|report| report.hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 8);
}

#[test]
fn every_kind_of_fault_and_outcome_occurs_and_no_guarantee_breaks() {
    let total = batch(1_000, SEEDS, Duration::MAX).run();
    assert_correct(total.failed.as_ref());
    assert_eq!(total.counts.missing(), Vec::<&str>::new(), "{total}");
}

/// Runs seeds from 1,000 on for 5 s, or new seeds for the given time.
#[test]
fn many_seeds_break_no_guarantee() {
    let seconds = std::env::var(SECONDS).ok().and_then(|text| text.parse().ok());
    let first = if seconds.is_some() { fastrand::u64(0..1 << 48) } else { 1_000 };
    let batch = batch(first, u64::MAX, Duration::from_secs(seconds.unwrap_or(5)));
    println!("seeds from {} on", batch.first);
    let total = batch.run();
    println!("{total}");
    assert_correct(total.failed.as_ref());
}

fn batch(first: u64, seeds: u64, time: Duration) -> Batch {
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    Batch { first, seeds, time, jobs, options: Options::default() }
}

#[track_caller]
fn assert_correct(failed: Option<&Report>) {
    if let Some(Report { seed, violations, .. }) = failed {
        let texts = violations.join("\n  ");
        panic!("cargo run -p stentor-sim -- --seed {seed} --trace sim.trace\n  {texts}");
    }
}
