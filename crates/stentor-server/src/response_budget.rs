//! The memory that responses share.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::metrics::Metrics;
use crate::problem::Problem;

/// The unit of the budget, in bytes. Charges are rounded up to it.
const UNIT_BYTES: usize = 1 << 10;
/// Minimum of the budget, in bytes: the largest event fits beside other pages.
const BUDGET_BYTES_MIN: usize = 32 << 20;
/// One part in this many of the budget is kept for charges of at most [`SMALL_BYTES_MAX`].
const RESERVE_PART: usize = 4;
/// Maximum size of a charge that may use the reserve, in bytes.
pub(crate) const SMALL_BYTES_MAX: usize = 128 << 10;
/// Maximum time that a response waits for memory. After that it is refused.
const WAIT_TIME_MAX: Duration = Duration::from_secs(2);
/// Maximum number of responses that wait for memory. Further ones are refused at once.
const WAITING_MAX: usize = 1_000;

/// A shared limit, in bytes, for the pages and lists that clients have requested and not taken yet.
///
/// Bytes are charged before the storage is read. A response for which there is no room waits for a bounded
/// time and is refused then. A part of the budget is kept for small charges.
#[derive(Debug)]
pub(crate) struct ResponseBudget {
    shared: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    waiting: Semaphore,
    metrics: Metrics,
}

impl ResponseBudget {
    pub(crate) fn new(bytes_max: usize, metrics: Metrics) -> ResponseBudget {
        let units = units(bytes_max.max(BUDGET_BYTES_MIN)) as usize;
        let reserve = units / RESERVE_PART;
        ResponseBudget {
            shared: Arc::new(Semaphore::new(units - reserve)),
            reserve: Arc::new(Semaphore::new(reserve)),
            waiting: Semaphore::new(WAITING_MAX),
            metrics,
        }
    }

    /// Returns the number of bytes that a page of at most `bytes_max` should have now. Pages get smaller as the
    /// budget is used up, so that more clients get one.
    pub(crate) fn page_bytes(&self, bytes_max: usize) -> usize {
        /// A page gets at most one part in this many of the free memory, or of the free reserve.
        const SHARED_PART: usize = 32;
        const RESERVE_PART: usize = 256;
        const PAGE_BYTES_MIN: usize = 4 << 10;
        /// Maximum size of a page from the reserve. With its records' overhead it is a small charge.
        const SMALL_PAGE: usize = SMALL_BYTES_MAX / 2;
        let part = |of: &Semaphore, part| of.available_permits() * UNIT_BYTES / part;
        let shared = part(&self.shared, SHARED_PART);
        if shared >= SMALL_PAGE {
            return bytes_max.min(shared);
        }
        let reserve = part(&self.reserve, RESERVE_PART);
        bytes_max.min(reserve.clamp(PAGE_BYTES_MIN, SMALL_PAGE))
    }

    /// Charges `bytes`. Waits for room for a bounded time.
    ///
    /// # Errors
    ///
    /// 503 if there is no room.
    pub(crate) async fn charge(&self, bytes: usize) -> Result<Charge, Problem> {
        if let Some(charge) = self.try_charge(bytes) {
            return Ok(charge);
        }
        let Ok(_waiting) = self.waiting.try_acquire() else { return Err(self.shed()) };
        match timeout(WAIT_TIME_MAX, self.room(bytes)).await {
            Ok(Some(permit)) => Ok(self.charged(permit)),
            Ok(None) | Err(_) => Err(self.shed()),
        }
    }

    /// Charges `bytes`, if there is room now.
    pub(crate) fn try_charge(&self, bytes: usize) -> Option<Charge> {
        let units = units(bytes);
        let reserve = Some(&self.reserve).filter(|_| bytes <= SMALL_BYTES_MAX);
        let permit = [Some(&self.shared), reserve]
            .into_iter()
            .flatten()
            .find_map(|part| Arc::clone(part).try_acquire_many_owned(units).ok())?;
        Some(self.charged(permit))
    }

    /// Waits for room, in the order of the requests. `None` cannot happen: the budget is never closed.
    async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = units(bytes);
        let shared = Arc::clone(&self.shared).acquire_many_owned(units);
        if bytes > SMALL_BYTES_MAX {
            return shared.await.ok();
        }
        let reserve = Arc::clone(&self.reserve).acquire_many_owned(units);
        tokio::select! {
            permit = shared => permit.ok(),
            permit = reserve => permit.ok(),
        }
    }

    fn charged(&self, permit: OwnedSemaphorePermit) -> Charge {
        let charge = Charge { permit, gauge: self.metrics.response_bytes.clone() };
        charge.gauge.inc_by(charge.gauge_bytes());
        charge
    }

    fn shed(&self) -> Problem {
        self.metrics.responses_shed.inc();
        Problem::busy()
    }
}

/// The bytes that a response holds of the budget. They are returned on drop.
#[derive(Debug)]
pub(crate) struct Charge {
    permit: OwnedSemaphorePermit,
    gauge: Gauge,
}

impl Charge {
    pub(crate) fn bytes(&self) -> usize {
        self.permit.num_permits() * UNIT_BYTES
    }

    /// Returns all but `bytes` to the budget. Never grows.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        drop(self.split_rest(bytes, usize::MAX));
    }

    /// Keeps `kept` bytes, and splits off at most `bytes_max` of the rest.
    pub(crate) fn split_rest(&mut self, kept: usize, bytes_max: usize) -> Option<Charge> {
        let surplus = self.permit.num_permits().saturating_sub(units(kept) as usize);
        let permit = self.permit.split(surplus.min(bytes_max.div_ceil(UNIT_BYTES)))?;
        Some(Charge { permit, gauge: self.gauge.clone() })
    }

    fn gauge_bytes(&self) -> i64 {
        i64::try_from(self.bytes()).unwrap_or(i64::MAX)
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.gauge.dec_by(self.gauge_bytes());
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn budget() -> ResponseBudget {
        ResponseBudget::new(BUDGET_BYTES_MIN, Metrics::default())
    }

    /// Uses up the part for all responses.
    fn fill(budget: &ResponseBudget) -> Charge {
        budget.try_charge(BUDGET_BYTES_MIN / RESERVE_PART * (RESERVE_PART - 1)).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_waits_for_room_and_is_refused_in_the_end() {
        let budget = budget();
        let full = fill(&budget);
        let begun = tokio::time::Instant::now();
        assert!(budget.charge(1 << 20).await.is_err());
        assert_eq!((begun.elapsed(), budget.metrics.responses_shed.get()), (WAIT_TIME_MAX, 1));
        let mut waiting = Box::pin(budget.charge(1 << 20));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(full);
        assert_eq!(waiting.await.unwrap().bytes(), 1 << 20);
    }

    #[test]
    fn small_responses_have_a_reserve_and_pages_get_smaller() {
        let budget = budget();
        assert_eq!(budget.page_bytes(100 << 10), 100 << 10);
        let first = budget.page_bytes(1 << 20);
        let _large = budget.try_charge(10 << 20).unwrap();
        assert!(budget.page_bytes(1 << 20) < first);
        let _full = budget.try_charge(14 << 20).unwrap();
        assert!(budget.page_bytes(1 << 20) <= SMALL_BYTES_MAX / 2);
        assert!(budget.try_charge(SMALL_BYTES_MAX + 1).is_none());
        assert!(budget.try_charge(SMALL_BYTES_MAX).is_some());
    }

    #[test]
    fn the_gauge_counts_what_is_charged_split_and_returned() {
        let budget = budget();
        let gauge = &budget.metrics.response_bytes;
        let mut charge = budget.try_charge(10_000).unwrap();
        assert_eq!(gauge.get(), 10 << 10);
        let split = charge.split_rest(4 << 10, 2 << 10);
        assert_eq!((charge.bytes(), gauge.get()), (8 << 10, 10 << 10));
        charge.shrink(1);
        assert_eq!(gauge.get(), 3 << 10);
        drop((charge, split));
        assert_eq!(gauge.get(), 0);
    }
}
