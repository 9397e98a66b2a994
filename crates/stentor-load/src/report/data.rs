//! The result as data, which `--json` prints.

use serde::Serialize;

use crate::latency::Summary;
use crate::options::{Options, Pace};
use crate::problems::Problem;
use crate::process::Memory;
use crate::sampler::Sample;

/// Result of a run. It serializes to the JSON that `stentor bench --json` prints.
///
/// Times are in milliseconds unless the field name says otherwise.
#[derive(Debug, Serialize)]
pub struct Report {
    pub(crate) setting: Setting,
    pub(crate) connect: Connect,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) publish: Option<Publish>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delivery: Option<Delivery>,
    /// Present if the run only listened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) arrivals: Option<Arrivals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) churn: Option<Churn>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storms: Option<Storms>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slow: Option<Slow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<Server>,
    /// The load generator itself.
    pub(crate) load: Load,
    /// Unit of the fields `cpu_us_per_unit`.
    pub(crate) unit: Unit,
    pub(crate) problems: Vec<Problem>,
    pub(crate) was_interrupted: bool,
    pub(crate) samples: Vec<Sample>,
}

impl Report {
    /// Returns `true` if an event was lost, duplicated, out of order, or sent to a subscriber of another topic.
    pub fn is_faulty(&self) -> bool {
        self.delivery.as_ref().is_some_and(|delivery| {
            delivery.lost + delivery.duplicated + delivery.out_of_order + delivery.misrouted > 0
        })
    }

    /// Returns the reason why the run failed: it has measured nothing, or it lost the server.
    pub fn failure(&self) -> Option<String> {
        self.nothing_measured().map(str::to_owned).or_else(|| self.server_lost())
    }

    /// Says so if subscribers or publishers could no longer reach the server.
    fn server_lost(&self) -> Option<String> {
        let Connect { connected, gave_up, unreachable, .. } = &self.connect;
        if *gave_up > 0 {
            return Some(format!(
                "the server was lost during the run: {gave_up} of {connected} subscribers could not reconnect"
            ));
        }
        let reason = unreachable.as_ref()?;
        Some(format!("the server could not be reached at the end of the run: {reason}"))
    }

    fn nothing_measured(&self) -> Option<&'static str> {
        if self.arrivals.as_ref().is_some_and(|arrivals| arrivals.events == 0) {
            return Some("nothing was measured: no event arrived");
        }
        if self.churn.as_ref().is_some_and(|churn| churn.connections == 0) {
            return Some("nothing was measured: no connection got a response");
        }
        let acknowledged = self.publish.as_ref().is_some_and(|publish| publish.acknowledged == 0);
        acknowledged.then_some("nothing was measured: no event could be published")
    }
}

/// The operation whose CPU cost is reported: a delivery, or a publish or connect in runs without deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Delivery,
    Publish,
    Connect,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Unit::Delivery => "delivery",
            Unit::Publish => "publish",
            Unit::Connect => "connect",
        }
    }
}

/// The most important options of the run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Setting {
    /// Start of the run (RFC 3339).
    pub(crate) at: String,
    pub(crate) url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) publish_url: Option<String>,
    pub(crate) subscribers: u32,
    /// Streams of a connection with HTTP/2; absent with HTTP/1.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) streams_per_connection: Option<u32>,
    pub(crate) topics: u32,
    /// Events per second, if published at a rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    /// Maximum number of events in flight, if published in a closed loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) window: Option<usize>,
    pub(crate) size: u32,
}

impl Setting {
    pub(crate) fn new(options: &Options, publishes: bool) -> Setting {
        let (rate, window) = match options.pace {
            _ if !publishes => (None, None),
            Pace::Rate(rate) => (Some(rate), None),
            Pace::Window(window) => (None, Some(window)),
        };
        Setting {
            at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            url: options.url.clone(),
            publish_url: options.publish.clone(),
            subscribers: options.subscribers,
            streams_per_connection: options.http2.then_some(options.streams_per_connection),
            topics: options.topics,
            rate,
            window,
            size: options.size,
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Connect {
    pub(crate) connected: usize,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// From the start of a connect to the response head.
    pub(crate) head: Option<Summary>,
    /// Streams that broke or were ended by the server.
    pub(crate) cut: u64,
    /// Subscribers that stopped trying to reconnect.
    pub(crate) gave_up: u64,
    /// HTTP/2 connections that carried the streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http2_connections: Option<usize>,
    /// Reason why the last publish or passing connection got no response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unreachable: Option<String>,
    /// Growth of this machine's kernel memory per subscriber. If the server runs here too, that is for both ends of the
    /// connection.
    pub(crate) kernel_memory_per_reader_bytes: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Churn {
    pub(crate) connections: u64,
    pub(crate) failed: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// From the start of a connect to the response head.
    pub(crate) head: Option<Summary>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Publish {
    pub(crate) events: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    /// Events that were due, but not sent before the time was over.
    pub(crate) unsent: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// From the send of an event to its acknowledgement.
    pub(crate) acknowledgement: Option<Summary>,
    /// From the scheduled to the actual send time.
    pub(crate) send_lag: Option<Summary>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Delivery {
    pub(crate) expected: u64,
    pub(crate) received: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) out_of_order: u64,
    /// Events of a topic that the subscriber did not subscribe to.
    pub(crate) misrouted: u64,
    /// Events that this run did not publish.
    pub(crate) foreign: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) bytes_per_second: f64,
    /// From the scheduled send time to the arrival at a subscriber.
    pub(crate) latency: Option<Summary>,
    /// From the scheduled send time to the arrival at the last subscriber.
    pub(crate) latency_to_last: Option<Summary>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Arrivals {
    pub(crate) events: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) per_second_and_reader: f64,
    pub(crate) bytes_per_second: f64,
    /// Mean number of data bytes of an event.
    pub(crate) mean_bytes: f64,
    /// From one arrival at a subscriber to the next.
    pub(crate) gap: Option<Summary>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Storms {
    pub(crate) count: u64,
    pub(crate) dropped: u64,
    pub(crate) returned: u64,
    /// From the start of a reconnect to the response head.
    pub(crate) head: Option<Summary>,
    /// From the start of a storm until the last subscriber has reconnected.
    pub(crate) all_back: Option<Summary>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Slow {
    pub(crate) readers: usize,
    pub(crate) closed_by_server: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Server {
    pub(crate) cpu_user_seconds: f64,
    pub(crate) cpu_system_seconds: f64,
    /// CPU time as a share of one core.
    pub(crate) cores: f64,
    pub(crate) cpu_us_per_unit: Option<f64>,
    pub(crate) memory_before: Option<Memory>,
    pub(crate) memory_connected: Option<Memory>,
    pub(crate) memory_per_reader_bytes: Option<f64>,
    /// Growth per HTTP/2 connection, with its streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_per_connection_bytes: Option<f64>,
    pub(crate) memory_end_bytes: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Load {
    /// CPU time without the polls that had no result.
    pub(crate) cpu_seconds: Option<f64>,
    /// CPU time as a share of one core.
    pub(crate) cores: Option<f64>,
    pub(crate) cpu_us_per_unit: Option<f64>,
    /// Number of reads from subscribers' sockets that returned bytes.
    pub(crate) reads: u64,
    /// Share of the time in which it was ready to run but had no core.
    pub(crate) waited: Option<f64>,
    pub(crate) was_bottleneck: bool,
    /// Reasons why the result may not be that of the server alone.
    pub(crate) remarks: Vec<String>,
}
