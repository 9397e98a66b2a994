//! What a storage is asked.

use std::sync::Arc;

use crate::cursor::Offset;
use crate::filter::Filters;
use crate::timestamp::Timestamp;

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadRequest {
    /// Of which topics.
    pub filters: Arc<Filters>,
    /// After this offset.
    pub after: Offset,
    /// Up to and with this offset, or the tail if that is less.
    pub until: Offset,
    /// How much at most.
    pub budget: Budget,
    /// Removals up to this count have been told to the reader, see [`Removed::removals`](super::Removed::removals).
    pub losses_reported: u64,
}

/// How much one read may return or touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Records returned.
    pub records: usize,
    /// Bytes of the records returned, as [`Body::bytes`](crate::Body::bytes) counts them.
    pub bytes: usize,
    /// Rows looked at.
    pub rows: usize,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { records: 500, bytes: 256 << 10, rows: 10_000 }
    }
}

/// Where a reader wants to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seek {
    /// Before everything.
    Earliest,
    /// Before the newest `count` matching events (not ends) below an offset.
    Newest {
        /// How many.
        count: usize,
        /// Below which offset.
        before: Offset,
    },
    /// Before the first record with this time or a later one; the tail if there is none yet.
    Since(Timestamp),
}

/// How much of a topic is to be kept. What is `None` has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrimLimits {
    /// Nothing older than this.
    pub since: Option<Timestamp>,
    /// At most so many events.
    pub events: Option<u64>,
    /// At most so many bytes of events, as [`Body::bytes`](crate::Body::bytes) counts them.
    pub bytes: Option<u64>,
    /// Nothing at all if it has ended before this.
    pub ended_since: Option<Timestamp>,
}

/// Which topics to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsQuery {
    /// Names that begin with this.
    pub prefix: String,
    /// Names after this one.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}
