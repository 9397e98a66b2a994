//! The start of a subscription.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::cursor::{Cursor, Offset};
use crate::filter::Filters;
use crate::gap::GapReason;
use crate::record::{Body, Record};
use crate::shared::Shared;
use crate::storage::{Seek, StorageError};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// The start of a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// The tail: only new events.
    #[default]
    Now,
    /// The oldest event.
    Earliest,
    /// The newest matching events of all topics together. Ends do not count. At most [`Start::LAST_MAX`].
    Last(usize),
    /// The newest events of each matching topic, and the end of each of these topics that has ended. The existing
    /// events must be at most [`Start::LAST_EACH_MAX`] in total; the requested number may be higher.
    LastEach(usize),
    /// The first event at or after this time. A time in the future means the tail.
    Since(Timestamp),
    /// After this event id: the `Last-Event-ID` that a subscriber sent. Only this start can begin with a gap.
    Cursor(String),
}

impl Start {
    /// Maximum of [`Start::Last`].
    pub const LAST_MAX: usize = 100_000;
    /// Maximum number of events of [`Start::LastEach`], in total.
    pub const LAST_EACH_MAX: usize = 10_000;
}

/// The reason why a subscription cannot start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// [`Start::Last`] with more than [`Start::LAST_MAX`].
    #[error("`last` requests {requested} events; the maximum is {}", Start::LAST_MAX)]
    LastTooMany {
        /// The requested number of events.
        requested: usize,
    },
    /// [`Start::LastEach`] with more than [`Start::LAST_EACH_MAX`] events in total.
    #[error(
        "`last_each` requests more than {} events in total; request fewer per topic",
        Start::LAST_EACH_MAX
    )]
    LastEachTooMany,
    /// The log cannot be read now.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The start of a subscription as offsets of the log.
#[derive(Debug)]
pub(crate) struct ResolvedStart {
    /// Reading continues after this offset.
    pub(crate) after: Offset,
    /// Records that are sent first.
    pub(crate) picked: VecDeque<Offset>,
    /// Count of removals that do not concern this reader.
    pub(crate) losses_reported: u64,
    /// The gap that the cursor itself causes.
    pub(crate) gap: Option<GapReason>,
    /// `true` if the reader has the event id of a record of this log.
    has_event_id: bool,
    /// `true` if the reader came without a cursor. Past deletions do not concern it.
    is_new: bool,
}

impl ResolvedStart {
    pub(crate) async fn resolve(
        shared: &Shared,
        filters: &Arc<Filters>,
        start: &Start,
    ) -> Result<ResolvedStart, SubscribeError> {
        let seek = match start {
            Start::Cursor(text) => return ResolvedStart::at_cursor(shared, filters, text).await,
            Start::Now => return Ok(ResolvedStart::new_reader(shared.window.tail())),
            Start::LastEach(count) => {
                return ResolvedStart::last_each(shared, filters, *count).await;
            }
            Start::Earliest => Seek::Earliest,
            Start::Since(time) => Seek::Since(*time),
            Start::Last(count) if *count > Start::LAST_MAX => {
                return Err(SubscribeError::LastTooMany { requested: *count });
            }
            Start::Last(count) => Seek::Newest { count: *count, before: Offset::MAX },
        };
        let found = shared.queries.seek(filters, seek).await?;
        let start = ResolvedStart::new_reader(found.after);
        Ok(ResolvedStart { losses_reported: found.removals, ..start })
    }

    /// The start of a reader without a cursor.
    fn new_reader(after: Offset) -> ResolvedStart {
        ResolvedStart {
            after,
            picked: VecDeque::new(),
            losses_reported: 0,
            gap: None,
            has_event_id: false,
            is_new: true,
        }
    }

    async fn last_each(
        shared: &Shared,
        filters: &Arc<Filters>,
        count: usize,
    ) -> Result<ResolvedStart, SubscribeError> {
        let tail = shared.window.tail();
        let limit = Start::LAST_EACH_MAX;
        let newest = shared.storage.newest_each(Arc::clone(filters), count, tail, limit).await?;
        let newest = newest.ok_or(SubscribeError::LastEachTooMany)?;
        Ok(ResolvedStart { picked: newest.into(), ..ResolvedStart::new_reader(tail) })
    }

    async fn at_cursor(
        shared: &Shared,
        filters: &Arc<Filters>,
        text: &str,
    ) -> Result<ResolvedStart, SubscribeError> {
        let resolved = match text.parse::<Cursor>() {
            Ok(cursor) => resolve_cursor(shared, cursor).await?,
            Err(_) => ResolvedCursor::Unknown(GapReason::Unreadable),
        };
        let start = ResolvedStart { is_new: false, ..ResolvedStart::new_reader(Offset::ZERO) };
        Ok(match resolved {
            ResolvedCursor::At(cursor) => {
                ResolvedStart { after: cursor.offset, has_event_id: cursor.is_event_id(), ..start }
            }
            // It is unknown which events the reader has, so it gets all of them. Its gap covers earlier removals.
            ResolvedCursor::Unknown(reason) => {
                let found = shared.queries.seek(filters, Seek::Earliest).await?;
                ResolvedStart { losses_reported: found.removals, gap: Some(reason), ..start }
            }
            ResolvedCursor::Lost { continue_after } => {
                ResolvedStart { after: continue_after, gap: Some(GapReason::Future), ..start }
            }
        })
    }

    /// Returns the topics whose ends the stream waits for, or `None` if all have ended and the reader knows it. Only
    /// for filters that are exact names. Can move the start back, so that the last end is sent again.
    pub(crate) async fn open_topics(
        &mut self,
        shared: &Shared,
        filters: &Arc<Filters>,
    ) -> Result<Option<HashSet<TopicName>>, StorageError> {
        // Queried after the start was found: if a topic ends in between, its end is after the start.
        let ends = shared.queries.ends(filters, self.after).await?;
        let mut open = HashSet::new();
        let mut last_end: Option<Arc<Record>> = None;
        for (name, end) in filters.exact().iter().zip(ends.iter()) {
            match end.as_ref().filter(|end| self.has_passed(end)) {
                Some(end) if last_end.as_ref().is_none_or(|last| last.offset() < end.offset()) => {
                    last_end = Some(Arc::clone(end));
                }
                Some(_) => {}
                None => drop(open.insert(name.clone())),
            }
        }
        match last_end {
            Some(_) if !open.is_empty() => Ok(Some(open)),
            Some(_) if self.has_event_id => Ok(None),
            // All topics have ended and this reader may not know it, so the last end is sent again.
            Some(end) => {
                self.after = self.after.min(end.offset().previous());
                Ok(Some(HashSet::from([end.topic().clone()])))
            }
            None => Ok(Some(open)),
        }
    }

    /// Returns `true` if this end has closed its topic for the reader, which starts after it.
    fn has_passed(&self, end: &Record) -> bool {
        if *end.body() == Body::Deleted {
            // The name can be used again. A reader with the id of the deletion has received it as an end. Any other one
            // may have begun after the deletion, and for it the topic is like a new one.
            return self.has_event_id && end.offset() == self.after;
        }
        end.offset() <= self.after
    }

    /// The offset up to which deletions are not sent to this reader.
    pub(crate) fn deletions_known(&self, tail: Offset) -> Offset {
        if self.is_new { tail } else { Offset::ZERO }
    }
}

/// The meaning of a cursor in this log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ResolvedCursor {
    /// A position in this log.
    At(Cursor),
    /// Not a position in this history.
    Unknown(GapReason),
    /// A position in a part of this history that the log lost.
    Lost {
        /// The offset after which reading continues.
        continue_after: Offset,
    },
}

pub(crate) async fn resolve_cursor(
    shared: &Shared,
    cursor: Cursor,
) -> Result<ResolvedCursor, StorageError> {
    if cursor.epoch != shared.storage.epoch() {
        return Ok(ResolvedCursor::Unknown(GapReason::Epoch));
    }
    let burned = shared.burned.iter().find(|(from, to)| (*from..=*to).contains(&cursor.offset));
    // No record has the last offset of a burned range, but it is the tail after the unclean stop. A reader with this
    // position connected after the stop or already got the gap, so it has lost nothing.
    if let Some((_, last)) = burned
        && (cursor.is_event_id() || cursor.offset < *last)
    {
        return Ok(ResolvedCursor::Lost { continue_after: *last });
    }
    let tail = shared.window.tail();
    if cursor.offset > tail {
        return Ok(ResolvedCursor::Lost { continue_after: tail });
    }
    if !cursor.is_event_id() {
        return Ok(ResolvedCursor::At(cursor));
    }
    let record = match shared.window.get(cursor.offset) {
        Some(record) => Some(record),
        None => shared.queries.record(cursor.offset).await?,
    };
    match record {
        Some(record) if record.cursor() != cursor => Ok(ResolvedCursor::Unknown(GapReason::Epoch)),
        _ => Ok(ResolvedCursor::At(cursor)),
    }
}
