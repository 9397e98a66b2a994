//! Computes the offset up to which a topic must be trimmed. Every storage uses this rule.

use super::query::TrimLimits;
use crate::cursor::Offset;
use crate::record::Record;
use crate::timestamp::Timestamp;

/// A walk over the events of a topic, oldest first, up to the first event that stays.
pub(crate) struct TrimPoint {
    limits: TrimLimits,
    events: u64,
    bytes: u64,
    end: Option<(Offset, Timestamp)>,
    through: Option<Offset>,
}

impl TrimPoint {
    /// Starts the walk over a topic with these counts and this end.
    pub(crate) fn new(
        limits: TrimLimits,
        events: u64,
        bytes: u64,
        end: Option<&Record>,
    ) -> TrimPoint {
        let end = end.map(|end| (end.offset(), end.time()));
        TrimPoint { limits, events, bytes, end, through: None }
    }

    /// Visits the next event. Returns `true` if it is to be removed.
    pub(crate) fn takes(&mut self, offset: Offset, time: Timestamp, bytes: u64) -> bool {
        let is_removed = self.is_over() || self.limits.since.is_some_and(|since| time < since);
        if is_removed {
            self.events = self.events.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(bytes);
            self.through = Some(offset);
        }
        is_removed
    }

    /// Returns `true` if the number or the bytes of the events that are left exceed the limits.
    fn is_over(&self) -> bool {
        self.limits.events.is_some_and(|most| self.events > most)
            || self.limits.bytes.is_some_and(|most| self.bytes > most)
    }

    /// The offset up to which the topic is to be trimmed; `None` if it is within its limits.
    pub(crate) fn through(self) -> Option<Offset> {
        let Some((end, ended)) = self.end else { return self.through };
        let is_before = |since: Option<Timestamp>| since.is_some_and(|since| ended < since);
        let whole_topic = is_before(self.limits.ended_since);
        let end_alone = is_before(self.limits.since) && self.events == 0;
        if whole_topic || end_alone { Some(end) } else { self.through }
    }
}
