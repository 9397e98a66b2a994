//! What was measured, as it is told.

mod html;
mod plot;
mod table;
mod verdict;

use serde::Serialize;

pub(super) use self::html::page;
pub(super) use self::table::table;
use super::args::BenchArgs;
use super::load::{Load, Span};
use super::meter::{Sample, Summary};
use super::plan::Pace;
use super::problems::Problem;
use super::process::{Cpu, Memory};

/// Everything; as JSON it is what `--json` prints. Times are in milliseconds unless their name says
/// otherwise.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) setting: Setting,
    pub(super) connect: Connect,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) publish: Option<Publish>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delivery: Option<Delivery>,
    /// When the load only listened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) arrivals: Option<Arrivals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) storms: Option<StormsReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) slow: Option<Slow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<ServerReport>,
    pub(super) load: LoadReport,
    pub(super) problems: Vec<Problem>,
    pub(super) was_interrupted: bool,
    pub(super) samples: Vec<Sample>,
}

/// What was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Setting {
    /// When it was measured (RFC 3339).
    pub(super) at: String,
    pub(super) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) publish_url: Option<String>,
    pub(super) subscribers: u32,
    pub(super) topics: u32,
    /// Events per second, when that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) window: Option<usize>,
    pub(super) size: u32,
}

#[derive(Debug, Serialize)]
pub(super) struct Connect {
    pub(super) connected: usize,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    /// From the beginning of a connect to the head of its answer.
    pub(super) head: Option<Summary>,
    /// Connections that broke or were ended by the server, and readers that gave up.
    pub(super) cut: u64,
    pub(super) gave_up: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Publish {
    pub(super) events: u64,
    pub(super) acknowledged: u64,
    pub(super) refused: u64,
    /// Due, but not sent before the time was over.
    pub(super) unsent: u64,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) acknowledgement: Option<Summary>,
    /// From when an event was to be sent until it was.
    pub(super) send_lag: Option<Summary>,
}

#[derive(Debug, Serialize)]
pub(super) struct Delivery {
    pub(super) expected: u64,
    pub(super) received: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) out_of_order: u64,
    pub(super) misrouted: u64,
    /// Events that are not of this run, such as those of other publishers.
    pub(super) foreign: u64,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) bytes_per_second: f64,
    /// From when an event was to be sent until a reader had it.
    pub(super) latency: Option<Summary>,
    /// The same until the last of its readers had it.
    pub(super) latency_to_last: Option<Summary>,
}

#[derive(Debug, Serialize)]
pub(super) struct Arrivals {
    pub(super) events: u64,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) per_second_and_reader: f64,
    pub(super) bytes_per_second: f64,
    /// Of the data of an event.
    pub(super) mean_bytes: f64,
    /// At one reader, from one event to the next.
    pub(super) gap: Option<Summary>,
}

#[derive(Debug, Serialize)]
pub(super) struct StormsReport {
    pub(super) count: u64,
    pub(super) dropped: u64,
    pub(super) returned: u64,
    pub(super) head: Option<Summary>,
    /// From a storm until all were back.
    pub(super) all_back: Option<Summary>,
}

#[derive(Debug, Serialize)]
pub(super) struct Slow {
    pub(super) readers: usize,
    pub(super) closed_by_server: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ServerReport {
    pub(super) cpu_user_seconds: f64,
    pub(super) cpu_system_seconds: f64,
    /// Share of one core.
    pub(super) cores: f64,
    pub(super) cpu_us_per_delivery: Option<f64>,
    pub(super) memory_before: Option<Memory>,
    pub(super) memory_connected: Option<Memory>,
    pub(super) memory_per_reader_bytes: Option<f64>,
    pub(super) memory_end_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct LoadReport {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) cores: Option<f64>,
    pub(super) cpu_us_per_delivery: Option<f64>,
    /// How often it read from a reader's connection.
    pub(super) reads: u64,
    /// Share of the time in which it was ready to run and had no core.
    pub(super) waited: Option<f64>,
    pub(super) was_bottleneck: bool,
    /// Why the figures are to be taken with care.
    pub(super) remarks: Vec<String>,
}

impl Setting {
    pub(super) fn new(args: &BenchArgs) -> Setting {
        Setting {
            at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            url: args.url.clone(),
            publish_url: args.publish.clone(),
            subscribers: args.subscribers,
            topics: args.topics,
            rate: None,
            window: None,
            size: args.size,
        }
    }
}

/// How many connected, in how many seconds, and the server's memory before and after.
pub(super) type Connected = (usize, f64, Option<(Memory, Memory)>);

impl Report {
    pub(super) fn new(
        load: &mut Load,
        mut setting: Setting,
        (connected, seconds, memory): Connected,
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
        let units = if publishes {
            let received = book.ledger.counts().received;
            if received > 0 { received } else { book.acknowledged.count() }
        } else {
            book.events
        };
        let mut report = Report {
            setting,
            connect: Connect {
                connected,
                seconds,
                per_second: connected as f64 / seconds,
                head: book.head.summary(),
                cut: book.cuts,
                gave_up: book.gave_up,
            },
            publish: publishes.then(|| publish(load, span)),
            delivery: publishes.then(|| delivery(load, span)),
            arrivals: (!publishes).then(|| arrivals(load, span, connected)),
            storms: load.plan.storm.map(|_| StormsReport {
                count: book.storms.count,
                dropped: book.storms.dropped,
                returned: book.storms.returned,
                head: book.storms.head.summary(),
                all_back: book.storms.all_back.summary(),
            }),
            slow: (load.plan.slow > 0)
                .then_some(Slow { readers: load.plan.slow, closed_by_server: book.slow_cuts }),
            server: server(load, span, memory, connected, units),
            load: verdict::load(span, book, units),
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

fn server(
    load: &Load,
    span: &Span,
    memory: Option<(Memory, Memory)>,
    connected: usize,
    units: u64,
) -> Option<ServerReport> {
    let cpu = span.server_cpu?;
    // What several processes share counts once where that is known.
    let of = |memory: Memory| memory.proportional.unwrap_or(memory.resident);
    let grown = memory.map(|(before, after)| of(after) as f64 - of(before) as f64);
    Some(ServerReport {
        cpu_user_seconds: cpu.user,
        cpu_system_seconds: cpu.system,
        cores: cpu.total() / span.seconds,
        cpu_us_per_delivery: per_unit(cpu, units),
        memory_before: memory.map(|(before, _)| before),
        memory_connected: memory.map(|(_, after)| after),
        memory_per_reader_bytes: grown.map(|grown| grown / connected.max(1) as f64),
        memory_end_bytes: load
            .server
            .as_ref()
            .map(|server| of(server.memory()))
            .unwrap_or_default(),
    })
}

/// Microseconds of processor time for each event that came to a reader.
fn per_unit(cpu: Cpu, units: u64) -> Option<f64> {
    (units > 0).then(|| cpu.total() * 1e6 / units as f64)
}
