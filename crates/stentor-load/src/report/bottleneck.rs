//! Decides if the load generator was the bottleneck, so that the result is not that of the server.

use crate::format::{count, milliseconds, percent};
use crate::phase::Phase;
use crate::report::data::Load;
use crate::stats::Stats;

/// Share of a core above which the single thread is the bottleneck.
const BUSY: f64 = 0.9;
/// Share of the time without a core above which other programs have disturbed the run.
const WAITED: f64 = 0.1;
/// Delay in milliseconds above which an event was sent late.
const LATE: f64 = 10.0;

pub(crate) fn load(phase: &Phase, stats: &Stats, units: u64) -> Load {
    let waited = phase.waited.map(|wait| wait / phase.seconds);
    // Polls without a result were without a core for the average share of their time.
    let idle = phase.idle * (1.0 - waited.unwrap_or_default());
    let seconds = phase.own_cpu.map(|cpu| (cpu.total() - idle).max(0.0));
    let cores = seconds.map(|used| used / phase.seconds);
    let mut remarks = Vec::new();
    let is_busy = cores.filter(|cores| *cores > BUSY);
    if let Some(cores) = is_busy {
        remarks.push(format!(
            "`stentor bench` was the bottleneck: its one thread used {} of a core",
            percent(cores)
        ));
    }
    let has_waited = waited.filter(|waited| *waited > WAITED);
    if let Some(waited) = has_waited {
        remarks.push(format!(
            "`stentor bench` waited for a core for {} of the time: the server or other programs used it",
            percent(waited)
        ));
    }
    let delay = &stats.send_delay;
    let late = (delay.count() > 0).then(|| delay.quantile(0.99)).filter(|late| *late > LATE);
    if let Some(late) = late {
        let reason = if phase.unsent.held_up > 0 {
            "all publishers waited for the server (raise --publishers)"
        } else {
            "`stentor bench` was too busy"
        };
        let late = milliseconds(late);
        remarks.push(format!("1 % of the events were sent at least {late} late: {reason}"));
    }
    if phase.unsent.events > 0 {
        remarks
            .push(format!("events that could not be sent in time: {}", count(phase.unsent.events)));
    }
    Load {
        cpu_seconds: seconds,
        cores,
        cpu_us_per_unit: seconds.and_then(|used| per_unit(used, units)),
        reads: stats.reads,
        waited,
        was_bottleneck: is_busy.is_some()
            || has_waited.is_some()
            || (late.is_some() && phase.unsent.held_up == 0),
        remarks,
    }
}

/// Microseconds of CPU time per unit.
pub(crate) fn per_unit(seconds: f64, units: u64) -> Option<f64> {
    (units > 0).then(|| seconds * 1e6 / units as f64)
}
