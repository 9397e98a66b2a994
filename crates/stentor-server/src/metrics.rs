//! What is counted.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use stentor_hub::Hub;

/// The counters of one server. Cheap to clone; all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Publish requests that were answered 200 or 201.
    pub(crate) publishes: Counter,
    /// Records that publishing added to the log.
    pub(crate) published: Counter,
    /// Publish requests that were refused.
    pub(crate) refused: Counter,
    /// Records handed to streams.
    pub(crate) delivered: Counter,
    /// Bytes handed to streams.
    pub(crate) delivered_bytes: Counter,
    /// Gaps told.
    pub(crate) gaps: Counter,
    /// Streams begun.
    pub(crate) streams: Counter,
    /// Streams that are open.
    pub(crate) streams_open: Gauge,
    /// Connections accepted.
    pub(crate) connections: Counter,
    /// Connections that are open.
    pub(crate) connections_open: Gauge,
    /// Bytes of bodies in flight.
    pub(crate) body_bytes: Gauge,
    /// Bytes held for readers.
    pub(crate) reader_bytes: Gauge,
}

impl Metrics {
    /// Counts a publish request by its outcome.
    pub(crate) fn count_publish<T, E>(&self, answer: &Result<T, E>) {
        if answer.is_ok() {
            self.publishes.inc();
        } else {
            self.refused.inc();
        }
    }

    /// All of them, and what the hub counts, as `OpenMetrics` text.
    pub fn to_text(&self, hub: &Hub) -> String {
        let mut registry = Registry::with_prefix("stentor");
        let counters: [(&str, &str, &Counter); 8] = [
            ("publishes", "Publish requests that succeeded", &self.publishes),
            ("publishes_refused", "Publish requests that were refused", &self.refused),
            ("published_events", "Records that publishing added to the log", &self.published),
            ("delivered_events", "Records handed to streams", &self.delivered),
            (
                "delivered_bytes",
                "Bytes written to streams, with their framing",
                &self.delivered_bytes,
            ),
            ("gaps", "Gaps told to readers", &self.gaps),
            ("streams", "Streams begun", &self.streams),
            ("connections", "Connections accepted", &self.connections),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let trimmed = hub.trimmed();
        let of_hub = [
            (
                "commits",
                "Writes to the log, each of publishes that came at the same time",
                hub.commits(),
            ),
            ("trimmed_events", "Events that retention took from the log", trimmed.events),
            ("trimmed_bytes", "Bytes that retention took from the log", trimmed.bytes),
        ];
        for (name, help, count) in of_hub {
            registry.register(name, help, ConstCounter::new(count));
        }
        let gauges: [(&str, &str, &Gauge); 4] = [
            ("streams_open", "Streams that are open", &self.streams_open),
            ("connections_open", "Connections that are open", &self.connections_open),
            ("body_bytes", "Bytes of request bodies in flight", &self.body_bytes),
            ("reader_bytes", "Bytes held for the readers of streams", &self.reader_bytes),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// One more of something that is open, until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Gauge<i64, AtomicI64>);

impl Open {
    pub(crate) fn count(gauge: &Gauge) -> Open {
        gauge.inc();
        Open(gauge.clone())
    }
}

impl Open {
    /// Goes on counting when this is gone: until [`Open::kept`] takes it up, or the gauge is lowered.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }

    /// Takes up what was kept.
    pub(crate) fn kept(gauge: &Gauge) -> Open {
        Open(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
