//! What a reader is told that it has lost.

use serde::Serialize;

use crate::cursor::Cursor;

/// Events that a reader asked for and will never get: told once per loss, never silently skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// Where the reader said, or was known, to be.
    pub requested: String,
    /// The id of the next event, if there is one.
    pub earliest: Option<String>,
    /// The topics that lost events, at most 32.
    pub topics: Vec<String>,
    /// Where reading goes on.
    #[serde(skip)]
    pub position: Cursor,
}

/// Why there is a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// The cursor cannot be read.
    Unreadable,
    /// The cursor is of another history of the log.
    Epoch,
    /// The cursor is beyond what this log still knows of its history.
    Future,
    /// Retention took events that the reader had not read.
    Trimmed,
    /// A topic was deleted and began anew before the reader was told.
    Deleted,
}

impl GapReason {
    /// The reason as it stands on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            GapReason::Unreadable => "unreadable",
            GapReason::Epoch => "epoch",
            GapReason::Future => "future",
            GapReason::Trimmed => "trimmed",
            GapReason::Deleted => "deleted",
        }
    }
}

/// The event name under which a gap is told.
pub const GAP_EVENT: &str = "stentor.gap";

/// The event name under which a position is told that no event carries.
pub const CURSOR_EVENT: &str = "stentor.cursor";
