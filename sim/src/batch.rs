//! Runs many seeds, several at once.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::counts::Counts;
use crate::lock::lock;
use crate::options::Options;
use crate::run::{Report, run};

/// Many seeds to run. It stops at the first one that fails.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The first seed. The others follow it.
    pub first: u64,
    /// Maximum number of seeds.
    pub seeds: u64,
    /// Time after which no further seed starts.
    pub time: Duration,
    /// Number of seeds that run at once.
    pub jobs: usize,
    /// Options of each run.
    pub options: Options,
}

/// The sum of many runs.
#[derive(Debug, Default)]
pub struct Total {
    /// Number of seeds.
    pub seeds: u64,
    /// Number of actions.
    pub actions: u64,
    /// Time of all runs together.
    pub time: Duration,
    /// Faults and outcomes.
    pub counts: Counts,
    /// The first run that failed.
    pub failed: Option<Report>,
}

impl Batch {
    /// Runs the seeds, each in one thread.
    pub fn run(&self) -> Total {
        let began = Instant::now();
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let total = Mutex::new(Total::default());
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) && began.elapsed() < self.time {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.seeds {
                            return;
                        }
                        let report = run(self.first.wrapping_add(number), &self.options, 0);
                        let mut total = lock(&total);
                        total.seeds += 1;
                        total.actions += report.actions;
                        total.counts.merge(&report.counts);
                        if !report.violations.is_empty() {
                            stop.store(true, Ordering::Relaxed);
                            total.failed.get_or_insert(report);
                        }
                    }
                });
            }
        });
        let mut total = std::mem::take(&mut *lock(&total));
        total.time = began.elapsed();
        total
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Total { seeds, actions, time, counts, .. } = self;
        let a_second = u128::from(*actions) * 1_000 / time.as_millis().max(1);
        writeln!(f, "{counts}")?;
        write!(f, "{seeds} seeds, {actions} actions in {} s ({a_second} a second)", time.as_secs())
    }
}
