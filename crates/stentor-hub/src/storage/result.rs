//! What a storage answers.

use std::sync::Arc;

use crate::cursor::{Cursor, Offset};
use crate::record::Record;
use crate::topic::TopicName;

/// Where the log begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The offset of the last record handed to the feed, or burned, or zero: the next one is beyond it.
    pub tail: Offset,
    /// Ranges whose numbers were given up after an unclean stop; both ends are burned. Oldest first.
    pub burned: Vec<(Offset, Offset)>,
}

/// What became of one publish of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was appended.
    Appended {
        /// The id of its first record.
        first: Cursor,
        /// The id of its last record.
        last: Cursor,
    },
    /// Its key was used before for the same content; nothing was appended.
    Repeat {
        /// The id of the first record of that publish.
        first: Cursor,
        /// The id of the last one.
        last: Cursor,
    },
    /// One of its topics has ended; nothing was appended.
    Ended {
        /// The topic.
        topic: TopicName,
        /// The id of its end.
        end: Cursor,
    },
    /// Its key was used before for other content; nothing was appended.
    KeyReused,
    /// It follows one that was refused or withheld; nothing was appended.
    Withheld,
}

impl Outcome {
    /// Whether the publish is in the log, be it by now or from before.
    pub fn is_stored(&self) -> bool {
        matches!(self, Outcome::Appended { .. } | Outcome::Repeat { .. })
    }
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The matching records.
    pub records: Vec<Arc<Record>>,
    /// Everything up to here has been considered.
    pub through: Offset,
    /// What a reader at `after` has lost and was not told of.
    pub removed: Option<Removed>,
}

/// Records that a reader asked for, had not read, and never will: a matching topic that is not a
/// deleted one has `removed_through` above `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Whether the first of the topics below lost them by deletion, not by trim.
    pub deleted: bool,
    /// The topics that lost records, at most [`Removed::TOPICS_MAX`].
    pub topics: Vec<TopicName>,
    /// The storage's count of removals so far. A reader that is told this gap hands it back as
    /// `told`, and is told again only of later ones.
    pub removals: u64,
}

impl Removed {
    /// The most topics that a gap names.
    pub const TOPICS_MAX: usize = 32;
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeekResult {
    /// Reading goes on after this offset.
    pub after: Offset,
    /// The tail at that moment.
    pub tail: Offset,
    /// The storage's count of removals at that moment: a reader that begins here lost nothing by them.
    pub removals: u64,
}

/// What is known of a topic as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicState {
    /// How many events (not ends) it holds.
    pub events: u64,
    /// Their bytes, as [`Body::bytes`](crate::Body::bytes) counts them.
    pub bytes: u64,
    /// Its end or deletion, if it has ended or was deleted and not begun anew.
    pub end: Option<Arc<Record>>,
    /// The highest offset that trim took from it, or that of its last deletion; zero if nothing
    /// was ever removed. See [`Storage::delete`](super::Storage::delete).
    pub removed_through: Offset,
}

/// What trimming removed, be it by a policy or because the log was full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// How many events.
    pub events: u64,
    /// Their bytes, as [`Body::bytes`](crate::Body::bytes) counts them.
    pub bytes: u64,
}

/// A topic in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its name.
    pub topic: TopicName,
    /// How many events it holds.
    pub events: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether it has ended.
    pub ended: bool,
}
