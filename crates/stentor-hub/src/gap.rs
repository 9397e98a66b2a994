//! A gap: events that a reader has lost.

use serde::Serialize;

use crate::cursor::Cursor;

/// Events that a reader requested and cannot get. Each loss is reported once and is never skipped silently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The reason.
    pub reason: GapReason,
    /// The cursor that the reader sent, or its last known position.
    pub requested: String,
    /// The id of the next event; `None` if there is none yet.
    pub earliest: Option<String>,
    /// Topics that lost events, at most 32.
    pub topics: Vec<String>,
    /// The position after which reading continues.
    #[serde(skip)]
    pub position: Cursor,
}

/// The reason for a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GapReason {
    /// The cursor cannot be parsed.
    Unreadable,
    /// The cursor belongs to another history of the log.
    Epoch,
    /// The cursor is beyond the tail, or in a burned range: the log lost the records there.
    Future,
    /// Events that the reader had not read were trimmed.
    Trimmed,
    /// A topic was deleted and used again before the reader got the deletion.
    Deleted,
    /// Events are damaged on the disk, or lost there. They are not sent.
    Damaged,
}

impl GapReason {
    /// The reason as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            GapReason::Unreadable => "unreadable",
            GapReason::Epoch => "epoch",
            GapReason::Future => "future",
            GapReason::Trimmed => "trimmed",
            GapReason::Deleted => "deleted",
            GapReason::Damaged => "damaged",
        }
    }
}

/// The type of the event that reports a gap.
pub const GAP_EVENT: &str = "stentor.gap";

/// The type of the event that reports a position.
pub const CURSOR_EVENT: &str = "stentor.cursor";
