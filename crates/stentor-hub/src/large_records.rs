//! Large records that are being sent to readers behind the live window.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::cursor::Offset;
use crate::record::Record;

/// A few large records that were read from the storage recently.
///
/// A reader that waits for its socket keeps offsets, not records. So a large record that is sent in pieces is looked up
/// again for each piece. This cache avoids reading it from disk each time.
#[derive(Debug, Default)]
pub(crate) struct LargeRecords(Mutex<VecDeque<Arc<Record>>>);

impl LargeRecords {
    /// Minimum memory of a record that is cached, in bytes.
    const LARGE: usize = 128 << 10;
    /// Maximum memory of the cache in bytes. The records that were added earliest are removed first.
    const BYTES_MAX: usize = 64 << 20;

    /// Adds a record if it is large.
    pub(crate) fn keep(&self, record: &Arc<Record>) {
        if record.memory_bytes() < Self::LARGE {
            return;
        }
        let mut records = self.lock();
        records.retain(|other| other.offset() != record.offset());
        records.push_back(Arc::clone(record));
        let mut bytes: usize = records.iter().map(|record| record.memory_bytes()).sum();
        while bytes > Self::BYTES_MAX {
            let Some(oldest) = records.pop_front() else { return };
            bytes -= oldest.memory_bytes();
        }
    }

    /// The record at an offset, if it is cached.
    pub(crate) fn get(&self, offset: Offset) -> Option<Arc<Record>> {
        self.lock().iter().find(|record| record.offset() == offset).cloned()
    }

    /// Removes all records, because some may have been deleted from the log.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Record>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use stentor_sse::Event;

    use super::*;
    use crate::cursor::Epoch;
    use crate::record::{Attributes, Body};
    use crate::timestamp::Timestamp;
    use crate::topic::TopicName;

    fn record(offset: u64, bytes: usize) -> Arc<Record> {
        let topic = TopicName::new("news").unwrap();
        let body = Body::Event(Event::new("x".repeat(bytes)));
        let (epoch, offset) = (Epoch::new(1), Offset::new(offset));
        Arc::new(Record::new(
            epoch,
            offset,
            Timestamp::default(),
            topic,
            body,
            Attributes::default(),
        ))
    }

    #[test]
    fn the_largest_events_are_cached_within_the_bound_and_small_ones_are_not() {
        let large = LargeRecords::default();
        large.keep(&record(1, 100));
        assert_eq!(large.get(Offset::new(1)), None);
        for offset in 2..=10 {
            large.keep(&record(offset, 8 << 20));
        }
        assert!(large.get(Offset::new(10)).is_some());
        assert_eq!(large.get(Offset::new(2)), None);
        large.clear();
        assert_eq!(large.get(Offset::new(10)), None);
    }
}
