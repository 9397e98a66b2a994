//! The course of a phase, stretch by stretch.

use super::clock::{Nanos, SECOND};
use super::load::Load;
use super::meter::Sample;
use super::process::{Family, own_cpu};

/// A phase has about so many stretches.
const STRETCHES: u64 = 100;
/// None is shorter: processor times come in hundredths of a second.
const STRETCH_MIN: Nanos = SECOND / 4;

#[derive(Debug)]
pub(super) struct Recorder {
    stretch: Nanos,
    pub(super) samples: Vec<Sample>,
    begun: Nanos,
    /// As it was at the beginning of the stretch.
    before: State,
}

#[derive(Debug, Default)]
struct State {
    at: Nanos,
    published: u64,
    delivered: u64,
    server_cpu: Option<f64>,
    load_cpu: Option<f64>,
}

impl State {
    fn of(load: &Load) -> State {
        let counts = load.book.ledger.counts();
        let publishes = load.plan.publish.is_some();
        State {
            at: load.book.clock.now(),
            published: counts.published,
            delivered: if publishes { counts.received } else { load.book.events },
            server_cpu: load.server.as_ref().map(|server| server.cpu().total()),
            load_cpu: own_cpu().map(super::process::Cpu::total),
        }
    }
}

impl Recorder {
    /// For a phase that takes about so long and begins now.
    pub(super) fn new(load: &Load, length: Nanos) -> Recorder {
        let mut before = State::of(load);
        (before.published, before.delivered) = (0, 0);
        let stretch = (length / STRETCHES).max(STRETCH_MIN);
        Recorder { stretch, samples: Vec::new(), begun: before.at, before }
    }

    pub(super) fn tick(&mut self, load: &mut Load) {
        if load.now >= self.before.at + self.stretch {
            self.close(load);
        }
    }

    /// Closes the last stretch; too short a one says nothing, unless it is the only one.
    pub(super) fn finish(&mut self, load: &mut Load) {
        let is_short = load.book.clock.now() < self.before.at + self.stretch / 2;
        if is_short && !self.samples.is_empty() {
            load.book.delivery.drain_into(&mut load.book.deliveries);
        } else {
            self.close(load);
        }
    }

    fn close(&mut self, load: &mut Load) {
        let now = State::of(load);
        let seconds = (now.at - self.before.at) as f64 / SECOND as f64;
        let times = &mut load.book.delivery;
        let has_any = times.count() > 0;
        let quantile = |quantile| has_any.then(|| times.quantile(quantile));
        let share = |now: Option<f64>, before: Option<f64>| Some((now? - before?) / seconds);
        self.samples.push(Sample {
            at: (now.at - self.begun) as f64 / SECOND as f64,
            published_per_second: (now.published - self.before.published) as f64 / seconds,
            delivered_per_second: now.delivered.saturating_sub(self.before.delivered) as f64
                / seconds,
            p50: quantile(0.5),
            p99: quantile(0.99),
            max: quantile(1.0),
            connected: load.readers.connected(),
            server_cores: share(now.server_cpu, self.before.server_cpu),
            load_cores: share(now.load_cpu, self.before.load_cpu),
            server_memory_bytes: load.server.as_ref().map(Family::resident),
        });
        times.drain_into(&mut load.book.deliveries);
        self.before = now;
    }
}
