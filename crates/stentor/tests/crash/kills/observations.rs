//! Everything that one reader received, over all its connections.

use tokio::time::Instant;

use crate::kills::log::Content;

/// Everything that one reader received.
#[derive(Clone, Debug)]
pub struct Observations {
    /// Name of the reader in error texts.
    pub name: String,
    pub filters: Vec<String>,
    /// Time of its first position, or earlier. From then on the server reports its losses.
    pub began: Instant,
    /// The reader is expected to receive everything after this offset. Unknown until its first position.
    pub start: Option<u64>,
    pub seen: Vec<Received>,
    /// `true` if it got a 204, after which it does not reconnect.
    pub is_finished: bool,
    /// Number of connections.
    pub reconnects: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub id: String,
    pub offset: u64,
    pub at: Instant,
    pub what: Observation,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// An event or an end, with its topic if the form contains it.
    Record(Content, Option<String>),
    /// `requested` is the offset after which the reader resumed, if it can be parsed.
    Gap { reason: String, requested: Option<u64>, topics: Vec<String> },
}

impl Observations {
    pub fn matches(&self, topic: &str) -> bool {
        self.filters.iter().any(|filter| matches(filter, topic))
    }

    pub fn gaps(&self) -> usize {
        self.seen.iter().filter(|seen| matches!(seen.what, Observation::Gap { .. })).count()
    }

    pub fn events(&self) -> usize {
        let is_event =
            |seen: &&Received| matches!(seen.what, Observation::Record(Content::Event(_), _));
        self.seen.iter().filter(is_event).count()
    }
}

/// Returns `true` if a filter matches a topic. `*` matches one segment, `**` at the end matches the rest.
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
