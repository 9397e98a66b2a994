//! Medians and percentiles of measured values, and their text.

use std::time::Duration;

use stentor_load::format;

/// The median; 0 for an empty list.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Exact durations of one operation.
#[derive(Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(crate) fn extend(&mut self, times: Times) {
        self.0.extend(times.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The percentile in milliseconds.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or_default().as_secs_f64() * 1e3
    }

    /// The text `p50 / p99 ms`.
    pub(crate) fn show(&self) -> String {
        format!("{:.2} / {:.2} ms", self.percentile(50), self.percentile(99))
    }
}

/// A number without decimals, with commas between thousands.
pub(crate) fn thousands(value: f64) -> String {
    format::count(value.round() as u64)
}

/// A part of a whole as a percentage.
pub(crate) fn percent(part: f64, whole: f64) -> String {
    format::percent(part / whole)
}

/// A number of bytes in MiB.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
