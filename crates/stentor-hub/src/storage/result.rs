//! Results of storage operations.

use std::sync::Arc;

use crate::cursor::{Cursor, Offset};
use crate::key::TooManyKeys;
use crate::record::Record;
use crate::topic::TopicName;

/// The tail and the burned ranges of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The highest offset that was passed to the sink or burned. Zero for a new log. The next record has a higher
    /// offset.
    pub tail: Offset,
    /// Burned ranges: offsets that were reserved and lost in an unclean stop. Inclusive, oldest first.
    pub burned: Vec<(Offset, Offset)>,
}

/// The outcome of one publish of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was appended.
    Appended {
        /// The id of its first record.
        first: Cursor,
        /// The id of its last record.
        last: Cursor,
    },
    /// An earlier publish had this key and this content. Nothing was appended.
    Repeat {
        /// The id of the first record of the earlier publish.
        first: Cursor,
        /// The id of its last record.
        last: Cursor,
    },
    /// One of its topics has ended. Nothing was appended.
    Ended {
        /// The topic.
        topic: TopicName,
        /// The id of its end.
        end: Cursor,
    },
    /// An earlier publish had this key and other content. Nothing was appended.
    KeyReused,
    /// It requires the previous publish, which was refused or withheld. Nothing was appended.
    Withheld,
    /// A stored row that decides about it is damaged, such as that of its topic. Nothing was appended.
    Damaged {
        /// The row.
        reason: String,
    },
    /// It has no entries, and its lease was changed.
    LeaseChanged,
    /// It gives a lease to a topic, and [`LEASES_MAX`](crate::LEASES_MAX) others have one. Nothing was appended.
    TooManyLeases,
    /// Its key is new, and a bound of [`KeyLimits`](crate::KeyLimits) is reached. Nothing was appended.
    TooManyKeys(TooManyKeys),
}

impl Outcome {
    /// Returns `true` if the publish is stored, from now or from an earlier publish with its key.
    pub fn is_stored(&self) -> bool {
        matches!(self, Outcome::Appended { .. } | Outcome::Repeat { .. } | Outcome::LeaseChanged)
    }
}

/// The result of [`Storage::read`](super::Storage::read).
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The matching records, in log order.
    pub records: Vec<Arc<Record>>,
    /// The offset up to which all records were considered. Read on after it.
    pub through: Offset,
    /// Records that the reader has lost and that were not reported to it; `None` if there are none.
    pub removed: Option<Removed>,
    /// The storage's count of removals when the page was read. `removed` covers all of them, so the reader passes it as
    /// [`ReadRequest::losses_reported`](super::ReadRequest::losses_reported) from now on. Zero if it is not known.
    pub removals: u64,
    /// Records before the first of `records` that are damaged or lost; `None` if there are none.
    pub damaged: Option<Damaged>,
}

/// Records that a reader requested and cannot get, because they are damaged or lost on the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damaged {
    /// The topics that lost records, as far as they are known; at most [`Removed::TOPICS_MAX`].
    pub topics: Vec<TopicName>,
}

impl Damaged {
    /// Adds a topic. A name beyond [`Removed::TOPICS_MAX`] is left out.
    pub(crate) fn add(&mut self, topic: TopicName) {
        if self.topics.len() < Removed::TOPICS_MAX && !self.topics.contains(&topic) {
            self.topics.push(topic);
        }
    }

    /// Adds the topics of other damage.
    pub(crate) fn add_all(&mut self, later: Damaged) {
        later.topics.into_iter().for_each(|topic| self.add(topic));
    }
}

/// Records that a reader requested, has not read, and cannot get: a matching topic that is not deleted has a
/// `removed_through` above [`ReadRequest::after`](super::ReadRequest::after).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// `true` if the first of `topics` lost its records by a deletion, `false` if by a trim. Of several reads: `true`
    /// if it is `true` of one of them.
    pub deleted: bool,
    /// The topics that lost records, at most [`Removed::TOPICS_MAX`].
    pub topics: Vec<TopicName>,
    /// The storage's count of removals. The reader passes it as
    /// [`ReadRequest::losses_reported`](super::ReadRequest::losses_reported) from now on.
    pub removals: u64,
}

impl Removed {
    /// Maximum number of topics that a gap names.
    pub const TOPICS_MAX: usize = 32;

    /// Adds what a later read found, so that one gap reports both. Names beyond [`Removed::TOPICS_MAX`] are left out.
    pub(crate) fn add(&mut self, later: Removed) {
        self.deleted |= later.deleted;
        self.removals = later.removals;
        for topic in later.topics {
            if self.topics.len() < Removed::TOPICS_MAX && !self.topics.contains(&topic) {
                self.topics.push(topic);
            }
        }
    }
}

/// The result of [`Storage::seek`](super::Storage::seek).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeekResult {
    /// The reader starts after this offset.
    pub after: Offset,
    /// The tail at the time of the query.
    pub tail: Offset,
    /// The storage's count of removals at the time of the query. A reader that starts at `after` lost nothing by
    /// these removals.
    pub removals: u64,
}

/// Counts of the queries to a storage, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryCounts {
    /// Queries that wait or run.
    pub open: u64,
    /// Those of them that need more than one step.
    pub long: u64,
    /// Steps that were run.
    pub steps: u64,
    /// Queries that were refused with [`StorageError::Busy`](super::StorageError::Busy).
    pub refused: u64,
    /// Queries that were dropped, because their callers left.
    pub dropped: u64,
}

/// The state of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicState {
    /// Number of events (not ends).
    pub events: u64,
    /// Bytes of these events, as counted by [`Body::bytes`](crate::Body::bytes).
    pub bytes: u64,
    /// The end or the deletion; `None` if the topic has neither, or was used again after its deletion.
    pub end: Option<Arc<Record>>,
    /// The highest offset that a trim removed, or the offset of the last deletion after which the topic was used
    /// again. Zero if nothing was removed.
    pub removed_through: Offset,
}

/// Events and bytes that were trimmed, by retention or by the log size limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Number of events.
    pub events: u64,
    /// Bytes of these events, as counted by [`Body::bytes`](crate::Body::bytes).
    pub bytes: u64,
}

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// The name.
    pub topic: TopicName,
    /// Number of events.
    pub events: u64,
    /// Bytes of these events, as counted by [`Body::bytes`](crate::Body::bytes).
    pub bytes: u64,
    /// `true` if the topic has ended.
    pub ended: bool,
}
