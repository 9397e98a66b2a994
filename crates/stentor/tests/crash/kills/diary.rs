//! What one reader saw, over all its connections.

use tokio::time::Instant;

use crate::kills::log::What;

/// A reader's notes.
#[derive(Clone, Debug)]
pub struct Diary {
    /// What to call it when there is something wrong.
    pub name: String,
    pub filters: Vec<String>,
    /// When it was told where it is, or before: from then on it is told what it loses.
    pub began: Instant,
    /// Everything behind this offset is meant for it; unknown until it was told.
    pub start: Option<u64>,
    pub seen: Vec<Seen>,
    /// It was answered 204 and came no more.
    pub is_finished: bool,
    /// How often it came back.
    pub reconnects: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub id: String,
    pub offset: u64,
    pub at: Instant,
    pub what: Told,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// An event or an end, and its topic where the form tells it.
    Record(What, Option<String>),
    /// `requested` is the offset behind which it asked, if that can be read.
    Gap { reason: String, requested: Option<u64>, topics: Vec<String> },
}

impl Diary {
    pub fn asks_for(&self, topic: &str) -> bool {
        self.filters.iter().any(|filter| matches(filter, topic))
    }

    pub fn gaps(&self) -> usize {
        self.seen.iter().filter(|seen| matches!(seen.what, Told::Gap { .. })).count()
    }

    pub fn events(&self) -> usize {
        let is_event = |seen: &&Seen| matches!(seen.what, Told::Record(What::Event(_), _));
        self.seen.iter().filter(is_event).count()
    }
}

/// Whether a filter asks for a topic: `*` is a segment, `**` at the end is all that is left.
pub fn matches(filter: &str, topic: &str) -> bool {
    match (filter.split_once('/'), topic.split_once('/')) {
        _ if filter == "**" => true,
        (Some((filter, more)), Some((topic, rest))) => {
            (filter == "*" || filter == topic) && matches(more, rest)
        }
        (None, None) => filter == "*" || filter == topic,
        _ => false,
    }
}
