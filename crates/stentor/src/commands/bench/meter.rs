//! What is measured while the load runs.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::clock::{Nanos, SECOND};

/// The longest time that is told apart: ten minutes.
const TIME_MAX: Nanos = 600 * SECOND;
/// How exact times are: two digits, one per cent.
const DIGITS: u8 = 2;

/// How often each length of time was seen.
#[derive(Clone, Debug)]
pub(super) struct Times(Histogram<u64>);

impl Times {
    #[expect(clippy::expect_used, reason = "the bounds are constants")]
    pub(super) fn new() -> Times {
        let times = Histogram::new_with_bounds(1, TIME_MAX, DIGITS);
        Times(times.expect("the bounds are in order"))
    }

    pub(super) fn add(&mut self, time: Nanos) {
        self.0.saturating_record(time);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// In milliseconds.
    pub(super) fn quantile(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e6
    }

    /// Hands over what was seen, to begin anew.
    pub(super) fn drain_into(&mut self, sum: &mut Times) {
        // Both have the same bounds.
        let _ = sum.0.add(&self.0);
        self.0.reset();
    }

    pub(super) fn summary(&self) -> Option<Summary> {
        let at = |quantile| self.quantile(quantile);
        (self.count() > 0).then(|| Summary {
            count: self.count(),
            mean: self.0.mean() / 1e6,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max() as f64 / 1e6,
            curve: CURVE.iter().map(|&quantile| (quantile, at(quantile))).collect(),
        })
    }
}

/// Where a curve of quantiles has its points, as many from each nine to the next.
const CURVE: [f64; 25] = [
    0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.985, 0.99,
    0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 0.99995, 0.99999,
];

/// Times in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
    #[serde(skip)]
    pub(super) curve: Vec<(f64, f64)>,
}

/// A short stretch of the measured time.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Sample {
    /// Its end, in seconds since the measuring began.
    pub(super) at: f64,
    pub(super) published_per_second: f64,
    pub(super) delivered_per_second: f64,
    /// Of the delivery, or between arrivals, in milliseconds.
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) max: Option<f64>,
    pub(super) connected: usize,
    /// Shares of one core.
    pub(super) server_cores: Option<f64>,
    pub(super) load_cores: Option<f64>,
    pub(super) server_memory_bytes: Option<u64>,
}
