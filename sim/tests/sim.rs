//! The simulator itself: it is repeatable, and it causes every kind of fault.

use std::thread;

use stentor_sim::{Counts, Options, Report, run};

/// Number of seeds that together contain every kind of fault and outcome.
const SEEDS: u64 = 60;

fn reports(seeds: std::ops::Range<u64>) -> Vec<Report> {
    seeds.map(|seed| run(seed, &Options::default(), 0)).collect()
}

#[test]
fn a_seed_gives_one_trace() {
    let first = thread::spawn(|| reports(0..8)).join().unwrap_or_default();
    let second = thread::spawn(|| reports(0..8)).join().unwrap_or_default();
    assert_eq!(first.len(), 8);
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(first.violations, Vec::<String>::new(), "seed {}", first.seed);
        assert_ne!(first.hash, 0);
        assert_eq!(
            (first.hash, first.actions),
            (second.hash, second.actions),
            "seed {} differs from run to run",
            first.seed
        );
    }
}

#[test]
fn different_seeds_give_different_traces() {
    let mut hashes: Vec<u64> = reports(0..8).iter().map(|report| report.hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 8);
}

#[test]
fn every_kind_of_fault_and_outcome_occurs_and_no_guarantee_breaks() {
    let mut total = Counts::default();
    for report in reports(1_000..1_000 + SEEDS) {
        assert_eq!(report.violations, Vec::<String>::new(), "seed {}", report.seed);
        total.merge(&report.counts);
    }
    assert_eq!(total.missing(), Vec::<&str>::new(), "{total}");
}
