//! Where a subscription begins.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use crate::cursor::{Cursor, Offset};
use crate::filter::Filters;
use crate::gap::GapReason;
use crate::hub::Shared;
use crate::record::{Body, Record};
use crate::storage::{Seek, StorageError};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// Where a subscription begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With what comes from now on.
    #[default]
    Now,
    /// With the oldest event there is.
    Earliest,
    /// With the newest so many matching events of the whole subscription (ends not counted), at
    /// most [`Start::LAST_MAX`].
    Last(usize),
    /// With the newest so many events of each matching topic, and the end of each of these topics that
    /// has ended. That must be at most [`Start::LAST_EACH_MAX`] events in all: those that there are
    /// count, not those that were asked for.
    LastEach(usize),
    /// With the first event of this time or later; a future time is the tail.
    Since(Timestamp),
    /// After the event that had this id: the `Last-Event-ID` of a reconnecting reader, as it came.
    /// Only here can a reader be in a gap.
    Cursor(String),
}

impl Start {
    /// The most that [`Start::Last`] may ask for.
    pub const LAST_MAX: usize = 100_000;
    /// The most events that [`Start::LastEach`] may come to.
    pub const LAST_EACH_MAX: usize = 10_000;
}

/// Why a subscription cannot begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// [`Start::Last`] with more than [`Start::LAST_MAX`].
    #[error("`last` asks for {asked} events; at most {} are allowed", Start::LAST_MAX)]
    LastTooMany {
        /// How many were asked for.
        asked: usize,
    },
    /// [`Start::LastEach`] that comes to more than [`Start::LAST_EACH_MAX`] events.
    #[error(
        "`last_each` asks for more than {} events in all; ask for fewer of each topic",
        Start::LAST_EACH_MAX
    )]
    LastEachTooMany,
    /// The log cannot be read now.
    #[error(transparent)]
    Storage(StorageError),
}

impl From<StorageError> for SubscribeError {
    fn from(error: StorageError) -> SubscribeError {
        SubscribeError::Storage(error)
    }
}

/// Where a subscription begins, in terms of the log.
#[derive(Debug)]
pub(crate) struct Beginning {
    /// Reading goes on after this offset,
    pub(crate) after: Offset,
    /// when these records have been sent.
    pub(crate) picked: VecDeque<Offset>,
    /// Removals that do not concern this reader.
    pub(crate) losses_reported: u64,
    /// A gap that the cursor itself shows.
    pub(crate) gap: Option<GapReason>,
    /// Whether the reader came with the receipt of an event of this history.
    receipt: bool,
    /// Whether the reader came without a cursor, to which past deletions are of no concern.
    newcomer: bool,
}

impl Beginning {
    pub(crate) async fn find(
        shared: &Shared,
        filters: &Arc<Filters>,
        start: &Start,
    ) -> Result<Beginning, SubscribeError> {
        let seek = match start {
            Start::Cursor(text) => return Beginning::at_cursor(shared, filters, text).await,
            Start::Now => return Ok(Beginning::at(shared.window.tail())),
            Start::LastEach(count) => return Beginning::at_each(shared, filters, *count).await,
            Start::Earliest => Seek::Earliest,
            Start::Since(time) => Seek::Since(*time),
            Start::Last(count) if *count > Start::LAST_MAX => {
                return Err(SubscribeError::LastTooMany { asked: *count });
            }
            Start::Last(count) => Seek::Newest { count: *count, before: Offset::MAX },
        };
        let sought = shared.queries.seek(filters, seek).await?;
        Ok(Beginning { losses_reported: sought.removals, ..Beginning::at(sought.after) })
    }

    /// A newcomer's beginning.
    fn at(after: Offset) -> Beginning {
        let picked = VecDeque::new();
        Beginning { after, picked, losses_reported: 0, gap: None, receipt: false, newcomer: true }
    }

    async fn at_each(
        shared: &Shared,
        filters: &Arc<Filters>,
        count: usize,
    ) -> Result<Beginning, SubscribeError> {
        let tail = shared.window.tail();
        let limit = Start::LAST_EACH_MAX;
        let newest = shared.storage.newest_each(Arc::clone(filters), count, tail, limit).await?;
        let newest = newest.ok_or(SubscribeError::LastEachTooMany)?;
        Ok(Beginning { picked: newest.into(), ..Beginning::at(tail) })
    }

    async fn at_cursor(
        shared: &Shared,
        filters: &Arc<Filters>,
        text: &str,
    ) -> Result<Beginning, SubscribeError> {
        let known = match text.parse::<Cursor>() {
            Ok(cursor) => place(shared, cursor).await?,
            Err(_) => Place::Lost(GapReason::Unreadable),
        };
        let reader = Beginning { newcomer: false, ..Beginning::at(Offset::ZERO) };
        Ok(match known {
            Place::At(cursor) => {
                Beginning { after: cursor.offset, receipt: cursor.is_event_id(), ..reader }
            }
            // Nothing is known of what the reader has, so it gets all there is. It is told a gap
            // already, and the removals before it are part of that.
            Place::Lost(reason) => {
                let sought = shared.queries.seek(filters, Seek::Earliest).await?;
                Beginning { losses_reported: sought.removals, gap: Some(reason), ..reader }
            }
            Place::Beyond(after) => Beginning { after, gap: Some(GapReason::Future), ..reader },
        })
    }

    /// Which topics a stream of exact names waits for the ends of, or `None` if the reader has the
    /// receipt for all of them. May move the beginning back, so that the end is told.
    pub(crate) async fn open_topics(
        &mut self,
        shared: &Shared,
        filters: &Arc<Filters>,
    ) -> Result<Option<HashSet<TopicName>>, StorageError> {
        // Asked after the beginning was found: a topic that ends in between ends beyond it.
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
            Some(_) if self.receipt => Ok(None),
            // All is over, and this reader may not know: it is told the last end once more.
            Some(end) => {
                self.after = self.after.min(end.offset().previous());
                Ok(Some(HashSet::from([end.topic().clone()])))
            }
            None => Ok(Some(open)),
        }
    }

    /// Whether an end lies behind the reader, so that it will not come again.
    fn has_passed(&self, end: &Record) -> bool {
        // To readers who cannot have seen a deletion the topic is as good as new.
        end.offset() <= self.after && (self.receipt || *end.body() != Body::Deleted)
    }

    /// Deletions up to here are not told to this reader.
    pub(crate) fn deletions_known(&self, tail: Offset) -> Offset {
        if self.newcomer { tail } else { Offset::ZERO }
    }
}

/// What a cursor means in this log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// A place in this history.
    At(Cursor),
    /// No place in this history.
    Lost(GapReason),
    /// A place in a part of this history that the log lost; reading goes on here.
    Beyond(Offset),
}

pub(crate) async fn place(shared: &Shared, cursor: Cursor) -> Result<Place, StorageError> {
    if cursor.epoch != shared.storage.epoch() {
        return Ok(Place::Lost(GapReason::Epoch));
    }
    let burned = shared.burned.iter().find(|(from, to)| (*from..=*to).contains(&cursor.offset));
    // The last number of a range was only ever held in reserve. As a position it is where the log was
    // taken up again: readers stand there who came since, or were told this very gap.
    if let Some((_, last)) = burned
        && (cursor.is_event_id() || cursor.offset < *last)
    {
        return Ok(Place::Beyond(*last));
    }
    let tail = shared.window.tail();
    if cursor.offset > tail {
        return Ok(Place::Beyond(tail));
    }
    if !cursor.is_event_id() {
        return Ok(Place::At(cursor));
    }
    let record = match shared.window.get(cursor.offset) {
        Some(record) => Some(record),
        None => shared.queries.record(cursor.offset).await?,
    };
    match record {
        Some(record) if record.cursor() != cursor => Ok(Place::Lost(GapReason::Epoch)),
        _ => Ok(Place::At(cursor)),
    }
}
