//! Everything that one reader received, over all its connections.

use tokio::time::Instant;

use super::log::Content;

/// Everything that one reader received.
#[derive(Clone, Debug)]
pub struct Observations {
    /// Name of the reader in error texts.
    pub name: String,
    /// Its topic filters.
    pub filters: Vec<String>,
    /// Time of its first position, or earlier. From then on the server reports its losses.
    pub began: Instant,
    /// The reader is expected to receive everything after this offset. Unknown until its first position.
    pub start: Option<u64>,
    /// Everything it received, in order.
    pub seen: Vec<Received>,
    /// Time before it sent the request that got a 204, after which it does not reconnect.
    pub finished: Option<Instant>,
    /// Number of connections.
    pub reconnects: usize,
}

/// A record or a gap that a reader received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The id.
    pub id: String,
    /// The offset in the id.
    pub offset: u64,
    /// The time.
    pub at: Instant,
    /// The content.
    pub what: Observation,
}

/// The content of something received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// An event or an end, with its topic if the form contains it.
    Record(Content, Option<String>),
    /// `requested` is the offset after which the reader resumed, if it can be parsed.
    Gap {
        /// The reason.
        reason: String,
        /// The offset after which the reader resumed.
        requested: Option<u64>,
        /// The topics that lost events.
        topics: Vec<String>,
    },
}

impl Observations {
    /// Returns `true` if one of its filters matches the topic.
    pub fn matches(&self, topic: &str) -> bool {
        self.filters.iter().any(|filter| matches(filter, topic))
    }

    /// Number of gaps.
    pub fn gaps(&self) -> usize {
        self.seen.iter().filter(|seen| matches!(seen.what, Observation::Gap { .. })).count()
    }

    /// Number of events.
    pub fn events(&self) -> usize {
        let is_event =
            |seen: &&Received| matches!(seen.what, Observation::Record(Content::Event(_), _));
        self.seen.iter().filter(is_event).count()
    }
}

/// Returns `true` if a filter matches a topic. `*` matches one segment, `**` at the end matches the rest.
pub(super) fn matches(filter: &str, topic: &str) -> bool {
    match (filter.split_once('/'), topic.split_once('/')) {
        _ if filter == "**" => true,
        (Some((filter, more)), Some((topic, rest))) => {
            (filter == "*" || filter == topic) && matches(more, rest)
        }
        (None, None) => filter == "*" || filter == topic,
        _ => false,
    }
}
