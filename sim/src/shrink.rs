//! Makes a failing run smaller.

use crate::options::Options;
use crate::run::run;

/// Maximum number of runs.
const RUNS_MAX: usize = 200;

/// Returns options with fewer steps, readers and publishers with which the seed still fails.
///
/// Other choices follow from other options, so the run that fails may fail for another reason.
pub fn shrink(seed: u64, options: &Options) -> Options {
    let mut runs = 0;
    let mut fails = |options: &Options| {
        runs += 1;
        runs <= RUNS_MAX && !run(seed, options, 0).violations.is_empty()
    };
    let mut best = options.clone();
    for parts in [2, 4, 8, 16, 32] {
        let piece = best.steps / parts;
        while best.steps > piece && piece > 0 {
            let fewer = Options { steps: best.steps - piece, ..best.clone() };
            if !fails(&fewer) {
                break;
            }
            best = fewer;
        }
    }
    for number in 0..12 {
        let mut fewer = best.clone();
        fewer.without_readers.push(number);
        if fails(&fewer) {
            best = fewer;
        }
    }
    for number in 0..4 {
        let mut fewer = best.clone();
        fewer.without_publishers.push(number);
        if fails(&fewer) {
            best = fewer;
        }
    }
    best
}
