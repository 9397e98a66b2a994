//! Histograms of latencies, and their summary.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::clock::{Nanos, SECOND};

/// Longest time that is recorded: ten minutes. A longer time counts as ten minutes.
const TIME_MAX: Nanos = 600 * SECOND;
/// Precision in significant digits: two, which is one percent.
const DIGITS: u8 = 2;

/// A histogram of latencies.
#[derive(Clone, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    #[expect(clippy::expect_used, reason = "the bounds are constants")]
    pub(crate) fn new() -> Latencies {
        let histogram = Histogram::new_with_bounds(1, TIME_MAX, DIGITS);
        Latencies(histogram.expect("the bounds are valid"))
    }

    pub(crate) fn add(&mut self, time: Nanos) {
        self.0.saturating_record(time);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The quantile in milliseconds.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e6
    }

    /// Adds all values to `sum`, and clears this histogram.
    pub(crate) fn drain_into(&mut self, sum: &mut Latencies) {
        // Cannot fail: both have the same bounds.
        let _ = sum.0.add(&self.0);
        self.0.reset();
    }

    /// Returns `None` if nothing was recorded.
    pub(crate) fn summary(&self) -> Option<Summary> {
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

/// Quantiles of the curve in the HTML page, about as many between 99 % and 99.9 % as between 90 % and 99 %.
const CURVE: [f64; 25] = [
    0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.985, 0.99,
    0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 0.99995, 0.99999,
];

/// Summary of a histogram, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
    /// Pairs of quantile and latency.
    #[serde(skip)]
    pub(crate) curve: Vec<(f64, f64)>,
}
