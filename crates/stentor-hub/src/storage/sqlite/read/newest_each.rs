//! Finds the newest events of each topic that filters match, in steps.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::merge::{Merge, Order};
use super::snapshot::Snapshot;
use super::step::Stepped;
use super::topic_walk::TopicWalk;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::storage::sqlite::db_error::DbError;

/// See [`Storage::newest_each`](crate::storage::Storage::newest_each).
///
/// The events of one topic are found in one snapshot. Those of several topics may be of different snapshots; as the
/// caller sets the newest offset that counts, only removals make a difference.
pub(crate) struct NewestEachQuery {
    walk: TopicWalk,
    count: usize,
    until: Offset,
    limit: usize,
    offsets: Vec<Offset>,
}

impl NewestEachQuery {
    pub(crate) fn new(
        filters: &Arc<Filters>,
        count: usize,
        until: Offset,
        limit: usize,
    ) -> NewestEachQuery {
        let walk = TopicWalk::new(filters);
        NewestEachQuery { walk, count, until, limit, offsets: Vec::new() }
    }
}

impl Stepped for NewestEachQuery {
    type Output = Option<Vec<Offset>>;

    fn step(
        &mut self,
        snapshot: &Snapshot<'_>,
        rows_max: u64,
    ) -> Result<Option<Option<Vec<Offset>>>, DbError> {
        let until = self.until.min(snapshot.tail);
        let (count, limit, offsets) = (self.count, self.limit, &mut self.offsets);
        let mut too_many = false;
        let is_complete = self.walk.go_on(snapshot, rows_max, |topic| {
            let mut merge = Merge::new(Order::NewestEvents);
            if topic.has_after(Offset::ZERO) {
                snapshot.count_lookup();
                merge.add(snapshot.connection, &topic, Offset::ZERO, until)?;
            }
            for _ in 0..count {
                let Some(entry) = merge.next(snapshot.connection)? else { break };
                snapshot.count_row();
                if offsets.len() == limit {
                    too_many = true;
                    return Ok(ControlFlow::Break(()));
                }
                offsets.push(entry.offset);
            }
            let is_over = snapshot.work() >= rows_max;
            Ok(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        if too_many {
            return Ok(Some(None));
        }
        if !is_complete {
            return Ok(None);
        }
        let mut offsets = std::mem::take(&mut self.offsets);
        offsets.sort_unstable();
        offsets.dedup();
        Ok(Some(Some(offsets)))
    }
}
