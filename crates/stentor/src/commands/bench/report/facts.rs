//! What was measured, fact by fact, as `--json` prints it.

use serde::Serialize;

use super::super::args::BenchArgs;
use super::super::meter::{Sample, Summary};
use super::super::problems::Problem;
use super::super::process::Memory;

/// Everything; as JSON it is what `--json` prints. Times are in milliseconds unless their name says
/// otherwise.
#[derive(Debug, Serialize)]
pub(in super::super) struct Report {
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
    pub(super) churn: Option<Churn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) storms: Option<StormsReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) slow: Option<Slow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<ServerReport>,
    pub(super) load: LoadReport,
    /// Of what processor time is told for one.
    pub(super) unit: Unit,
    pub(super) problems: Vec<Problem>,
    pub(super) was_interrupted: bool,
    pub(super) samples: Vec<Sample>,
}

/// What the server does over and over: deliveries, but where nobody gets any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    Delivery,
    Publish,
    Connect,
}

impl Unit {
    /// As it stands behind a quantity.
    pub(super) fn word(self) -> &'static str {
        match self {
            Unit::Delivery => "a delivery",
            Unit::Publish => "a publish",
            Unit::Connect => "a connect",
        }
    }
}

/// What was asked for.
#[derive(Debug, Serialize)]
pub(in super::super) struct Setting {
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
    /// By how much the memory of this machine's kernel grew for each reader: both ends of its
    /// connection, when the server is here too.
    pub(super) kernel_memory_per_reader_bytes: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Churn {
    pub(super) connections: u64,
    pub(super) failed: u64,
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) head: Option<Summary>,
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
    pub(super) cpu_us_per_unit: Option<f64>,
    pub(super) memory_before: Option<Memory>,
    pub(super) memory_connected: Option<Memory>,
    pub(super) memory_per_reader_bytes: Option<f64>,
    pub(super) memory_end_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct LoadReport {
    /// Without what it spent on looking in vain, when it never sleeps.
    pub(super) cpu_seconds: Option<f64>,
    pub(super) cores: Option<f64>,
    pub(super) cpu_us_per_unit: Option<f64>,
    /// How often it read from a reader's connection.
    pub(super) reads: u64,
    /// Share of the time in which it was ready to run and had no core.
    pub(super) waited: Option<f64>,
    pub(super) was_bottleneck: bool,
    /// Why the figures are to be taken with care.
    pub(super) remarks: Vec<String>,
}

impl Setting {
    pub(in super::super) fn new(args: &BenchArgs) -> Setting {
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
