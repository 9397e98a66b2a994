//! Queries to a storage.

use std::sync::Arc;

use crate::cursor::Offset;
use crate::filter::Filters;
use crate::timestamp::Timestamp;

/// The parameters of [`Storage::read`](super::Storage::read).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadRequest {
    /// The topics.
    pub filters: Arc<Filters>,
    /// Read after this offset.
    pub after: Offset,
    /// Read up to and including this offset, or up to the tail if that is lower.
    pub until: Offset,
    /// The bounds of the page.
    pub budget: Budget,
    /// Count of removals in the reader's last gap ([`Removed::removals`](super::Removed::removals)). Removals up to
    /// this count are not reported again.
    pub losses_reported: u64,
}

/// The bounds of one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Maximum number of records.
    pub records: usize,
    /// Maximum bytes of these records, as counted by [`Body::bytes`](crate::Body::bytes).
    pub bytes: usize,
    /// Maximum number of rows to examine.
    pub rows: usize,
}

impl Default for Budget {
    /// 500 records, 256 KiB, 10,000 rows.
    fn default() -> Budget {
        Budget { records: 500, bytes: 256 << 10, rows: 10_000 }
    }
}

/// The start that [`Storage::seek`](super::Storage::seek) finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seek {
    /// Before all records.
    Earliest,
    /// Before the newest `count` matching events (not ends) below the offset `before`.
    Newest {
        /// Number of events.
        count: usize,
        /// The offset below which events count.
        before: Offset,
    },
    /// Before the first record at or after this time, or at the tail if there is none yet.
    Since(Timestamp),
}

/// The limits of one topic at a point in time. `None` means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrimLimits {
    /// Records before this time are removed.
    pub since: Option<Timestamp>,
    /// Maximum number of events.
    pub events: Option<u64>,
    /// Maximum bytes of events, as counted by [`Body::bytes`](crate::Body::bytes).
    pub bytes: Option<u64>,
    /// The whole topic is removed if it ended before this time.
    pub ended_since: Option<Timestamp>,
}

/// The parameters of [`Storage::topics`](super::Storage::topics).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicsQuery {
    /// List only names that begin with this.
    pub prefix: String,
    /// List only names after this one in byte order.
    pub after: Option<String>,
    /// Maximum number of topics.
    pub limit: usize,
}
