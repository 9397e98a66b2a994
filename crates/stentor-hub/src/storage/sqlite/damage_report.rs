//! Reports damaged rows to the operator.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The damaged rows that reads have found, each counted and logged once.
#[derive(Default)]
pub(super) struct DamageReport {
    count: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    places: HashSet<String>,
    logged: Option<Instant>,
}

impl DamageReport {
    /// Maximum number of places that are remembered. Further ones are counted each time they are read.
    const PLACES_MAX: usize = 1_024;
    /// Minimum time between two log lines.
    const INTERVAL: Duration = Duration::from_secs(1);

    /// Notes a damaged row. Logs it if it was not known, at most one row each [`DamageReport::INTERVAL`].
    pub(super) fn note(&self, place: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = if known.places.len() < Self::PLACES_MAX {
            known.places.insert(place.to_owned())
        } else {
            !known.places.contains(place)
        };
        if !is_new {
            return;
        }
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if known.logged.is_none_or(|at| at.elapsed() >= Self::INTERVAL) {
            known.logged = Some(Instant::now());
            tracing::error!(
                place,
                count,
                "the log is damaged; run `stentor log verify`, and `stentor log repair` to restore it"
            );
        }
    }

    /// Number of damaged rows found so far.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
