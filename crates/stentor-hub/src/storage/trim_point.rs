//! What of a topic is beyond its limits: the same rule for every storage.

use super::TrimLimits;
use crate::cursor::Offset;
use crate::record::Record;
use crate::timestamp::Timestamp;

/// A walk over the events of a topic, oldest first, that ends at the first one that stays.
pub(crate) struct TrimPoint {
    keep: TrimLimits,
    events: u64,
    bytes: u64,
    end: Option<(Offset, Timestamp)>,
    through: Option<Offset>,
}

impl TrimPoint {
    /// Nothing was looked at yet of a topic that holds so much.
    pub(crate) fn new(
        keep: TrimLimits,
        events: u64,
        bytes: u64,
        end: Option<&Record>,
    ) -> TrimPoint {
        let end = end.map(|end| (end.offset(), end.time()));
        TrimPoint { keep, events, bytes, end, through: None }
    }

    /// Whether the next event, the oldest of those that were not looked at, has to go.
    pub(crate) fn takes(&mut self, offset: Offset, time: Timestamp, bytes: u64) -> bool {
        let goes = self.is_over() || self.keep.since.is_some_and(|since| time < since);
        if goes {
            self.events = self.events.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(bytes);
            self.through = Some(offset);
        }
        goes
    }

    /// Whether an event has to go whatever its time is.
    fn is_over(&self) -> bool {
        self.keep.events.is_some_and(|most| self.events > most)
            || self.keep.bytes.is_some_and(|most| self.bytes > most)
    }

    /// Up to which offset the topic is to be trimmed.
    pub(crate) fn through(self) -> Option<Offset> {
        let Some((end, ended)) = self.end else { return self.through };
        let is_before = |since: Option<Timestamp>| since.is_some_and(|since| ended < since);
        let all_go = is_before(self.keep.ended_since);
        let alone = is_before(self.keep.since) && self.events == 0;
        if all_go || alone { Some(end) } else { self.through }
    }
}
