//! Samples over the course of a phase, for the charts of the report.

use serde::Serialize;

use crate::clock::{Nanos, SECOND};
use crate::process::{self, Cpu, ProcessTree};
use crate::stats::Stats;

/// Approximate number of samples of a phase.
const SAMPLES: u64 = 100;
/// Shortest time of a sample. CPU times have a resolution of 10 ms, so a shorter one would be inaccurate.
const SAMPLE_MIN: Nanos = SECOND / 4;

/// One sample: the averages over a short time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    /// End of the sample, in seconds since the start of the phase.
    pub(crate) at: f64,
    pub(crate) published_per_second: f64,
    pub(crate) delivered_per_second: f64,
    /// Delivery latency, or time between arrivals, in milliseconds.
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) connected: usize,
    /// CPU time of the server as a share of one core.
    pub(crate) server_cores: Option<f64>,
    /// CPU time of the load generator as a share of one core.
    pub(crate) load_cores: Option<f64>,
    pub(crate) server_memory_bytes: Option<u64>,
}

/// Takes samples of one phase.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// Time of one sample.
    interval: Nanos,
    samples: Vec<Sample>,
    started: Nanos,
    /// Totals at the start of the current sample.
    before: Totals,
}

#[derive(Debug)]
struct Totals {
    at: Nanos,
    published: u64,
    delivered: u64,
    server_cpu: Option<f64>,
    own_cpu: Option<f64>,
}

impl Totals {
    fn new(at: Nanos, published: u64, delivered: u64, server: Option<&ProcessTree>) -> Totals {
        Totals {
            at,
            published,
            delivered,
            server_cpu: server.map(|server| server.cpu().total()),
            own_cpu: process::own_cpu().map(Cpu::total),
        }
    }
}

impl Sampler {
    /// Samples a phase that starts at `now` and takes about `length`.
    pub(crate) fn new(now: Nanos, length: Nanos, server: Option<&ProcessTree>) -> Sampler {
        let interval = (length / SAMPLES).max(SAMPLE_MIN);
        let before = Totals::new(now, 0, 0, server);
        Sampler { interval, samples: Vec::new(), started: now, before }
    }

    /// Ends the current sample if its time is over.
    pub(crate) fn tick(
        &mut self,
        now: Nanos,
        stats: &mut Stats,
        connected: usize,
        server: Option<&ProcessTree>,
    ) {
        if now >= self.before.at + self.interval {
            self.end_sample(stats, connected, server);
        }
    }

    /// Ends the last sample. Drops it if it is shorter than half the interval, unless it is the only one.
    pub(crate) fn finish(
        &mut self,
        stats: &mut Stats,
        connected: usize,
        server: Option<&ProcessTree>,
    ) {
        let is_short = stats.clock.now() < self.before.at + self.interval / 2;
        if is_short && !self.samples.is_empty() {
            stats.recent.drain_into(&mut stats.sampled);
        } else {
            self.end_sample(stats, connected, server);
        }
    }

    pub(crate) fn last(&self) -> Option<&Sample> {
        self.samples.last()
    }

    pub(crate) fn into_samples(self) -> Vec<Sample> {
        self.samples
    }

    fn end_sample(&mut self, stats: &mut Stats, connected: usize, server: Option<&ProcessTree>) {
        let published = stats.tracker.counts().published;
        let now = Totals::new(stats.clock.now(), published, stats.delivered(), server);
        let seconds = (now.at - self.before.at) as f64 / SECOND as f64;
        let latencies = &stats.recent;
        let has_any = latencies.count() > 0;
        let quantile = |quantile| has_any.then(|| latencies.quantile(quantile));
        let share = |now: Option<f64>, before: Option<f64>| Some((now? - before?) / seconds);
        self.samples.push(Sample {
            at: (now.at - self.started) as f64 / SECOND as f64,
            published_per_second: (now.published - self.before.published) as f64 / seconds,
            delivered_per_second: now.delivered.saturating_sub(self.before.delivered) as f64
                / seconds,
            p50: quantile(0.5),
            p99: quantile(0.99),
            max: quantile(1.0),
            connected,
            server_cores: share(now.server_cpu, self.before.server_cpu),
            load_cores: share(now.own_cpu, self.before.own_cpu),
            server_memory_bytes: server.map(ProcessTree::resident),
        });
        stats.recent.drain_into(&mut stats.sampled);
        self.before = now;
    }
}
