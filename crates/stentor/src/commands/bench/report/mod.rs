//! What was measured, as it is told.

mod facts;
mod html;
mod plot;
mod table;
mod verdict;

use self::facts::{
    Arrivals, Churn, Connect, Delivery, LoadReport, Publish, ServerReport, Slow, StormsReport, Unit,
};
pub(super) use self::facts::{Report, Setting};
pub(super) use self::html::page;
pub(super) use self::table::table;
use super::book::Book;
use super::load::{Load, Span};
use super::meter::Sample;
use super::plan::{Pace, Task};
use super::problems::Problem;
use super::process::Memory;

/// How connecting went.
pub(super) struct Connected {
    pub(super) readers: usize,
    pub(super) seconds: f64,
    /// The server's, before and after.
    pub(super) memory: Option<(Memory, Memory)>,
    /// The kernel's, before and after.
    pub(super) kernel: Option<(u64, u64)>,
}

impl Report {
    pub(super) fn new(
        load: &mut Load,
        mut setting: Setting,
        connected: &Connected,
        span: &Span,
        samples: Vec<Sample>,
    ) -> Report {
        let publishes = load.plan.publish.is_some();
        if publishes {
            match load.plan.pace {
                Pace::Rate(rate) => setting.rate = Some(rate),
                Pace::Window(window) => setting.window = Some(window),
            }
        }
        let book = &load.book;
        let (unit, units) = match load.plan.task {
            Task::Churn(_) => (Unit::Connect, book.churn.count()),
            Task::Publish if load.plan.readers == 0 => (Unit::Publish, book.acknowledged.count()),
            Task::Publish => (Unit::Delivery, book.ledger.counts().received),
            Task::Listen => (Unit::Delivery, book.events),
            Task::Rest => (Unit::Connect, connected.readers as u64),
        };
        let mut report = Report {
            setting,
            connect: connect(book, connected),
            publish: publishes.then(|| publish(load, span)),
            delivery: publishes.then(|| delivery(load, span)),
            arrivals: (load.plan.task == Task::Listen)
                .then(|| arrivals(load, span, connected.readers)),
            churn: matches!(load.plan.task, Task::Churn(_)).then(|| Churn {
                connections: book.churn.count(),
                failed: book.churn_failed,
                seconds: span.seconds,
                per_second: book.churn.count() as f64 / span.seconds,
                head: book.churn.summary(),
            }),
            storms: load.plan.storm.map(|_| StormsReport {
                count: book.storms.count,
                dropped: book.storms.dropped,
                returned: book.storms.returned,
                head: book.storms.head.summary(),
                all_back: book.storms.all_back.summary(),
            }),
            slow: (load.plan.slow > 0)
                .then_some(Slow { readers: load.plan.slow, closed_by_server: book.slow_cuts }),
            server: server(load, span, connected, units),
            load: verdict::load(span, book, units),
            unit,
            problems: Vec::new(),
            was_interrupted: load.is_interrupted(),
            samples,
        };
        report.problems = std::mem::take(&mut load.book.problems).into_list();
        report
    }

    /// Whether something was lost, doubled or out of order.
    pub(super) fn is_faulty(&self) -> bool {
        self.delivery.as_ref().is_some_and(|delivery| {
            delivery.lost + delivery.duplicated + delivery.out_of_order + delivery.misrouted > 0
        })
    }

    /// Why nothing can be said of the server, if so.
    pub(super) fn why_not_measured(&self) -> Option<&'static str> {
        if self.arrivals.as_ref().is_some_and(|arrivals| arrivals.events == 0) {
            return Some("nothing was measured: no event came");
        }
        if self.churn.as_ref().is_some_and(|churn| churn.connections == 0) {
            return Some("nothing was measured: no connection got its answer");
        }
        let acknowledged = self.publish.as_ref().is_some_and(|publish| publish.acknowledged == 0);
        acknowledged.then_some("nothing was measured: no event could be published")
    }
}

/// Problems in a sentence, behind what they led to.
pub(super) fn in_words(problems: &[Problem]) -> String {
    let list: Vec<String> = problems
        .iter()
        .map(|problem| format!("{} × {}", super::figures::count(problem.count), problem.what))
        .collect();
    if list.is_empty() { String::new() } else { format!(": {}", list.join("; ")) }
}

fn connect(book: &Book, connected: &Connected) -> Connect {
    let each = |grown: f64| (connected.readers > 0).then(|| grown / connected.readers as f64);
    Connect {
        connected: connected.readers,
        seconds: connected.seconds,
        per_second: connected.readers as f64 / connected.seconds,
        head: book.head.summary(),
        cut: book.cuts,
        gave_up: book.gave_up,
        kernel_memory_per_reader_bytes: connected
            .kernel
            .and_then(|(before, after)| each(after as f64 - before as f64)),
    }
}

fn publish(load: &Load, span: &Span) -> Publish {
    let (book, counts) = (&load.book, load.book.ledger.counts());
    Publish {
        events: counts.published,
        acknowledged: book.acknowledged.count(),
        refused: book.refused,
        unsent: span.unsent,
        seconds: span.publish_seconds,
        per_second: book.acknowledged.count() as f64 / span.publish_seconds,
        acknowledgement: book.acknowledged.summary(),
        send_lag: book.lag.summary(),
    }
}

fn delivery(load: &Load, span: &Span) -> Delivery {
    let (book, counts) = (&load.book, load.book.ledger.counts());
    Delivery {
        expected: counts.expected,
        received: counts.received,
        lost: counts.lost(),
        duplicated: counts.duplicated,
        out_of_order: counts.out_of_order,
        misrouted: counts.misrouted,
        foreign: counts.foreign,
        seconds: span.seconds,
        per_second: counts.received as f64 / span.seconds,
        bytes_per_second: book.bytes as f64 / span.seconds,
        latency: book.deliveries.summary(),
        latency_to_last: book.last.summary(),
    }
}

fn arrivals(load: &Load, span: &Span, connected: usize) -> Arrivals {
    let book = &load.book;
    let per_second = book.events as f64 / span.seconds;
    Arrivals {
        events: book.events,
        seconds: span.seconds,
        per_second,
        per_second_and_reader: per_second / connected.max(1) as f64,
        bytes_per_second: book.bytes as f64 / span.seconds,
        mean_bytes: book.event_bytes as f64 / book.events.max(1) as f64,
        gap: book.deliveries.summary(),
    }
}

fn server(load: &Load, span: &Span, connected: &Connected, units: u64) -> Option<ServerReport> {
    let cpu = span.server_cpu?;
    // What several processes share counts once where that is known.
    let of = |memory: Memory| memory.proportional.unwrap_or(memory.resident);
    let memory = connected.memory;
    let grown = memory.map(|(before, after)| of(after) as f64 - of(before) as f64);
    Some(ServerReport {
        cpu_user_seconds: cpu.user,
        cpu_system_seconds: cpu.system,
        cores: cpu.total() / span.seconds,
        cpu_us_per_unit: per_unit(cpu.total(), units),
        memory_before: memory.map(|(before, _)| before),
        memory_connected: memory.map(|(_, after)| after),
        memory_per_reader_bytes: grown.map(|grown| grown / connected.readers.max(1) as f64),
        memory_end_bytes: load
            .server
            .as_ref()
            .map(|server| of(server.memory()))
            .unwrap_or_default(),
    })
}

/// Microseconds of processor time for each one.
fn per_unit(seconds: f64, units: u64) -> Option<f64> {
    (units > 0).then(|| seconds * 1e6 / units as f64)
}
