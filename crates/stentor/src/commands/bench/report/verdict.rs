//! Whether the figures are those of the server, or of the load.

use super::super::book::Book;
use super::super::figures::{count, milliseconds, per_cent};
use super::super::load::Span;
use super::{LoadReport, per_unit};

/// Beyond this share of a core the one thread of the load is its limit.
const BUSY: f64 = 0.9;
/// Beyond this share of the time without a core others have used it.
const WAITED: f64 = 0.1;
/// Beyond so many milliseconds an event was sent late.
const LATE: f64 = 10.0;

pub(super) fn load(span: &Span, book: &Book, units: u64) -> LoadReport {
    let waited = span.load_wait.map(|wait| wait / span.seconds);
    // While it looked in vain it was without a core as often as otherwise.
    let idle = span.load_idle * (1.0 - waited.unwrap_or_default());
    let seconds = span.load_cpu.map(|cpu| (cpu.total() - idle).max(0.0));
    let cores = seconds.map(|used| used / span.seconds);
    let mut remarks = Vec::new();
    let is_busy = cores.filter(|cores| *cores > BUSY);
    if let Some(cores) = is_busy {
        remarks.push(format!(
            "the load was the bottleneck: it used {} of a core and has one thread",
            per_cent(cores)
        ));
    }
    let has_waited = waited.filter(|waited| *waited > WAITED);
    if let Some(waited) = has_waited {
        remarks.push(format!(
            "the load had to wait for a core for {} of the time: other programs, or the server, used it",
            per_cent(waited)
        ));
    }
    let late = (book.lag.count() > 0).then(|| book.lag.quantile(0.99)).filter(|late| *late > LATE);
    if let Some(late) = late {
        let because = if span.held_up > 0 {
            "all publishers waited for the server (--publishers)"
        } else {
            "the load did not come to it"
        };
        let late = milliseconds(late);
        remarks.push(format!("1 % of the events were sent at least {late} late: {because}"));
    }
    if span.unsent > 0 {
        remarks.push(format!("{} events could not be sent in time", count(span.unsent)));
    }
    LoadReport {
        cpu_seconds: seconds,
        cores,
        cpu_us_per_unit: seconds.and_then(|used| per_unit(used, units)),
        reads: book.reads,
        waited,
        was_bottleneck: is_busy.is_some()
            || has_waited.is_some()
            || (late.is_some() && span.held_up == 0),
        remarks,
    }
}
