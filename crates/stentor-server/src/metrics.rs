//! The counters and gauges of a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use stentor_hub::Hub;
use stentor_hub::storage::ClockJump;

/// The metrics of one server. Cloning is cheap, and all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Publish requests with status 200 or 201.
    pub(crate) publishes: Counter,
    /// Records that publishing added to the log.
    pub(crate) published: Counter,
    /// Publish requests that were refused.
    pub(crate) refused: Counter,
    /// Publish requests that were refused because too many idempotency keys are in use.
    pub(crate) keys_refused: Counter,
    /// Records written to streams.
    pub(crate) delivered: Counter,
    /// Bytes written to streams.
    pub(crate) delivered_bytes: Counter,
    /// Gaps reported to readers.
    pub(crate) gaps: Counter,
    /// Streams opened.
    pub(crate) streams: Counter,
    /// Open streams.
    pub(crate) streams_open: Gauge,
    /// Connections accepted.
    pub(crate) connections: Counter,
    /// Open connections.
    pub(crate) connections_open: Gauge,
    /// Maximum number of open connections.
    pub(crate) connections_max: Gauge,
    /// Connections refused at the maximum.
    pub(crate) connections_refused: Counter,
    /// Bytes of request bodies in flight.
    pub(crate) body_bytes: Gauge,
    /// Request bodies that wait for memory.
    pub(crate) bodies_waiting: Gauge,
    /// Request bodies for which there was no memory.
    pub(crate) bodies_refused: Counter,
    /// Bytes held for responses that their clients have not taken yet.
    pub(crate) response_bytes: Gauge,
    /// Responses that were refused because their memory was used up.
    pub(crate) responses_shed: Counter,
    /// Responses that were cut off because their clients took them too slowly.
    pub(crate) responses_cut: Counter,
    /// Bytes held for readers.
    pub(crate) reader_bytes: Gauge,
    /// Lines that the log of the program dropped.
    pub(crate) log_lines_dropped: Arc<AtomicU64>,
    /// Restarts of supervised tasks.
    pub(crate) task_restarts: TaskRestarts,
}

impl Metrics {
    /// Counts a publish request by its outcome.
    pub(crate) fn count_publish<T, E>(&self, outcome: &Result<T, E>) {
        if outcome.is_ok() {
            self.publishes.inc();
        } else {
            self.refused.inc();
        }
    }

    /// Returns these metrics and those of `hub` as `OpenMetrics` text.
    pub fn to_text(&self, hub: &Hub) -> String {
        let mut registry = Registry::with_prefix("stentor");
        let counters: &[(&str, &str, &Counter)] = &[
            ("publishes", "Publish requests that succeeded", &self.publishes),
            ("publishes_refused", "Publish requests that were refused", &self.refused),
            (
                "keys_refused",
                "Publish requests that were refused because too many idempotency keys are in use",
                &self.keys_refused,
            ),
            ("published_events", "Records that publishing added to the log", &self.published),
            ("delivered_events", "Records written to streams", &self.delivered),
            (
                "delivered_bytes",
                "Bytes written to streams, including framing",
                &self.delivered_bytes,
            ),
            ("gaps", "Gaps reported to readers", &self.gaps),
            ("streams", "Streams opened", &self.streams),
            ("connections", "Connections accepted", &self.connections),
            (
                "connections_refused",
                "Connections refused because too many were open",
                &self.connections_refused,
            ),
            (
                "bodies_refused",
                "Request bodies for which there was no memory",
                &self.bodies_refused,
            ),
            (
                "responses_shed",
                "Responses refused because the memory for responses was used up",
                &self.responses_shed,
            ),
            (
                "responses_cut",
                "Responses cut off because their clients took them too slowly",
                &self.responses_cut,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(*name, *help, (*counter).clone());
        }
        self.register_gauges(&mut registry);
        self.register_hub(&mut registry, hub);
        self.task_restarts.set("committer", hub.committer_restarts());
        let help = "Restarts of tasks that ended unexpectedly";
        registry.register("task_restarts", help, self.task_restarts.0.clone());
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }

    /// Registers the counts of the hub, which are read at this moment.
    fn register_hub(&self, registry: &mut Registry, hub: &Hub) {
        let (trimmed, queries) = (hub.trimmed(), hub.storage_queries());
        let others = [
            (
                "commits",
                "Group commits to the log; publishes that arrive together share one",
                hub.commits(),
            ),
            ("trimmed_events", "Events that retention removed from the log", trimmed.events),
            (
                "log_lines_dropped",
                "Lines of the program's log that could not be written",
                self.log_lines_dropped.load(Ordering::Relaxed),
            ),
            ("trimmed_bytes", "Bytes that retention removed from the log", trimmed.bytes),
            (
                "log_damaged_records",
                "Damaged or lost records that readers came to; run `stentor log verify`",
                hub.damaged_records(),
            ),
            ("query_steps", "Steps of queries to the log", queries.steps),
            (
                "queries_refused",
                "Queries refused because too many wait for the log",
                queries.refused,
            ),
            ("queries_dropped", "Queries to the log whose callers left", queries.dropped),
        ];
        for (name, help, count) in others {
            registry.register(name, help, ConstCounter::new(count));
        }
        for (name, help, count) in [
            ("queries_open", "Queries to the log that wait or run", queries.open),
            ("queries_long", "Queries to the log that need more than one step", queries.long),
        ] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            registry.register(name, help, ConstGauge::new(count));
        }
        let jump = match hub.log_time().jump {
            Some(ClockJump::Ahead(by)) => by.as_secs().cast_signed(),
            Some(ClockJump::Behind(by)) => -by.as_secs().cast_signed(),
            None => 0,
        };
        let help = "Seconds that the system clock is ahead of the time that passed, or (negative) behind the newest \
                    record; 0 without a jump of more than an hour";
        registry.register("clock_jump_seconds", help, ConstGauge::new(jump));
    }

    fn register_gauges(&self, registry: &mut Registry) {
        let gauges: &[(&str, &str, &Gauge)] = &[
            ("streams_open", "Open streams", &self.streams_open),
            ("connections_open", "Open connections", &self.connections_open),
            ("connections_max", "Maximum number of open connections", &self.connections_max),
            ("body_bytes", "Bytes of request bodies in flight", &self.body_bytes),
            ("bodies_waiting", "Request bodies that wait for memory", &self.bodies_waiting),
            (
                "response_bytes",
                "Bytes held for responses that their clients have not taken",
                &self.response_bytes,
            ),
            ("reader_bytes", "Bytes held for the readers of streams", &self.reader_bytes),
        ];
        for (name, help, gauge) in gauges {
            registry.register(*name, *help, (*gauge).clone());
        }
    }
}

/// Counts the restarts of each task that ended unexpectedly.
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskRestarts(Family<[(&'static str, &'static str); 1], Counter>);

impl TaskRestarts {
    /// Counts a restart of the task with this name. Names are fixed, such as `retention` or `shard`.
    pub(crate) fn count(&self, task: &'static str) {
        self.0.get_or_create(&[("task", task)]).inc();
    }

    /// Sets the number of restarts of a task that something else supervises.
    fn set(&self, task: &'static str, restarts: u64) {
        self.0.get_or_create(&[("task", task)]).inner().store(restarts, Ordering::Relaxed);
    }
}

/// A number of open connections or streams. The gauge includes it until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenCount {
    gauge: Gauge,
    count: i64,
}

impl OpenCount {
    /// Counts nothing yet.
    pub(crate) fn none(gauge: &Gauge) -> OpenCount {
        OpenCount { gauge: gauge.clone(), count: 0 }
    }

    /// Counts one.
    pub(crate) fn one(gauge: &Gauge) -> OpenCount {
        gauge.inc();
        OpenCount { gauge: gauge.clone(), count: 1 }
    }

    /// Takes over the count of `other`, which must be of the same gauge.
    pub(crate) fn merge(&mut self, mut other: OpenCount) {
        self.count += std::mem::take(&mut other.count);
    }

    /// Splits off a count of one.
    pub(crate) fn split_one(&mut self) -> OpenCount {
        self.count -= 1;
        OpenCount { gauge: self.gauge.clone(), count: 1 }
    }

    /// Counts one less.
    pub(crate) fn close_one(&mut self) {
        self.count -= 1;
        self.gauge.dec();
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.gauge.dec_by(self.count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gauge_follows_counts_that_are_merged_split_and_dropped() {
        let gauge = Gauge::default();
        let mut group = OpenCount::none(&gauge);
        for _ in 0..3 {
            group.merge(OpenCount::one(&gauge));
        }
        assert_eq!(gauge.get(), 3);
        let split = group.split_one();
        assert_eq!(gauge.get(), 3);
        drop(split);
        assert_eq!(gauge.get(), 2);
        group.close_one();
        assert_eq!(gauge.get(), 1);
        drop(group);
        assert_eq!(gauge.get(), 0);
    }
}
