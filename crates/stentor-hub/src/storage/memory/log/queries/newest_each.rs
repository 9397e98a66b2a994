//! The newest events of each topic.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::name_walk::NameWalk;
use super::{Stepped, rows_with};
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::storage::memory::log::Log;

/// See [`Storage::newest_each`](crate::storage::Storage::newest_each).
pub(crate) struct NewestEach {
    filters: Arc<Filters>,
    walk: NameWalk,
    count: usize,
    until: Offset,
    limit: usize,
    offsets: Vec<Offset>,
}

impl NewestEach {
    pub(crate) fn new(
        filters: Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> NewestEach {
        let walk = NameWalk::new(&filters);
        NewestEach { filters, walk, count, until, limit, offsets: Vec::new() }
    }
}

impl Stepped for NewestEach {
    type Output = Option<Vec<Offset>>;

    fn step(&mut self, log: &mut Log, rows_max: usize) -> Option<Option<Vec<Offset>>> {
        let records = log.records.read_lock();
        let (offsets, until, count) = (&mut self.offsets, self.until, self.count);
        // One more than the limit shows that there are too many.
        let most = self.limit.saturating_add(1);
        let mut rows_left = rows_max;
        let names_max = rows_with(&self.filters, rows_max);
        let is_complete = self.walk.go_on(&log.topics, names_max, |name, topic| {
            if topic.events == 0 {
                return ControlFlow::Continue(());
            }
            let room = count.min(most - offsets.len());
            let newest = records.ring.of_topic_back(name, until);
            let before = offsets.len();
            let events = newest.filter(|record| record.event().is_some()).take(room);
            offsets.extend(events.map(|record| record.offset()));
            rows_left = rows_left.saturating_sub(offsets.len() - before);
            if rows_left == 0 || offsets.len() == most {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        if self.offsets.len() == most {
            return Some(None);
        }
        if !is_complete {
            return None;
        }
        let mut offsets = std::mem::take(&mut self.offsets);
        offsets.sort_unstable();
        Some(Some(offsets))
    }
}
