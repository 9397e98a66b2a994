//! The queries of the log in memory. They run in steps, between which other calls use the log.

pub(crate) mod list;
pub(crate) mod losses;
mod name_walk;
pub(crate) mod newest;
pub(crate) mod newest_each;
pub(crate) mod read;

use std::sync::Arc;

use super::Log;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::record::Record;
use crate::storage::query::TrimLimits;
use crate::storage::result::TopicState;
use crate::storage::trim_point::TrimPoint;
use crate::topic::TopicName;

/// Maximum number of records or topics that one step looks at. With several patterns it is less, so a step takes well
/// below a millisecond.
pub(crate) const STEP_ROWS: usize = 2_000;
/// Minimum number of records or topics of a step, however many patterns there are.
const STEP_ROWS_MIN: usize = 64;
/// Maximum number of records that [`Log::trim_point`] looks at.
const TRIM_ROWS_MAX: usize = 2_000;

/// A query that runs in steps. The log can change between two steps.
pub(crate) trait Stepped {
    /// The result.
    type Output;

    /// Looks at about `rows_max` more records or topics. Returns the result, or `None` if another step is needed.
    fn step(&mut self, log: &mut Log, rows_max: usize) -> Option<Self::Output>;
}

/// Returns the number of rows of a step that matches each of them against the filters.
fn rows_with(filters: &Filters, rows_max: usize) -> usize {
    let patterns = filters.patterns().len().max(1);
    (rows_max / patterns).max(STEP_ROWS_MIN.min(rows_max))
}

impl Log {
    /// Implements [`Storage::fetch`](crate::storage::Storage::fetch).
    pub(crate) fn fetch(&self, offsets: &[Offset]) -> Vec<Arc<Record>> {
        let records = self.records.read_lock();
        offsets.iter().filter_map(|offset| records.ring.get(*offset).cloned()).collect()
    }

    pub(crate) fn state(&self, name: &TopicName) -> TopicState {
        match self.topics.get(name) {
            Some(topic) => TopicState {
                events: topic.events,
                bytes: topic.bytes,
                end: topic.end.clone(),
                removed_through: topic.removed.through,
            },
            None => TopicState {
                removed_through: self.forgotten.of_name(name.as_str()).through,
                ..TopicState::default()
            },
        }
    }

    /// Implements [`Storage::trim_point`](crate::storage::Storage::trim_point).
    pub(crate) fn trim_point(&self, name: &TopicName, limits: &TrimLimits) -> Option<Offset> {
        let topic = self.topics.get(name).filter(|topic| !topic.is_deleted())?;
        let mut trim_point =
            TrimPoint::new(*limits, topic.events, topic.bytes, topic.end.as_deref());
        let records = self.records.read_lock();
        let events = records.ring.of_topic(name).filter(|record| record.event().is_some());
        for record in events.take(TRIM_ROWS_MAX) {
            if !trim_point.takes(record.offset(), record.time(), record.body().bytes() as u64) {
                break;
            }
        }
        trim_point.through()
    }
}
