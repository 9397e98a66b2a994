//! The content of the log.

use stentor_hub::Cursor;
use tokio::time::Instant;

use super::history::EventKey;

/// The records of all topics, in the order in which they arrived.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// The records, by offset.
    pub records: Vec<LoggedRecord>,
    /// Topics that were trimmed while they were read.
    pub trimmed: Vec<String>,
    /// `true` if the log has a size limit, so that its oldest records may be removed while it is read.
    pub is_bounded: bool,
    /// `true` if all publishers had stopped when it was read.
    pub is_final: bool,
    /// If this is only a part of the log: it contains everything that was sent at or after this time.
    pub since: Option<Instant>,
    /// It contains nothing up to this offset.
    pub after: u64,
}

/// A record of the log: an event, or the end of a topic.
#[derive(Clone, Debug)]
pub struct LoggedRecord {
    /// The id.
    pub id: String,
    /// The offset in the id.
    pub offset: u64,
    /// The topic.
    pub topic: String,
    /// The content.
    pub what: Content,
}

/// The content of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An event that a publisher has sent.
    Event(EventKey),
    /// Data that no publisher has sent. Holds its first characters.
    Damaged(String),
    /// An end with its reason.
    End(String),
}

impl Log {
    /// Returns `true` if the size limit may have removed the oldest records of it. A reading after a cursor gets a
    /// gap in that case.
    pub fn may_lack_the_oldest(&self) -> bool {
        self.is_bounded && (self.since.is_none() || !self.trimmed.is_empty())
    }

    /// The events, without the ends of topics.
    pub fn events(&self) -> impl Iterator<Item = (&LoggedRecord, EventKey)> {
        self.records.iter().filter_map(|logged| Some((logged, logged.event_key()?)))
    }
}

impl LoggedRecord {
    /// Creates a record.
    pub fn new(id: &str, topic: &str, what: Content) -> LoggedRecord {
        LoggedRecord { offset: offset(id), id: id.to_owned(), topic: topic.to_owned(), what }
    }

    /// The key of an event; `None` for an end and for damaged data.
    pub fn event_key(&self) -> Option<EventKey> {
        if let Content::Event(event_key) = self.what { Some(event_key) } else { None }
    }
}

impl Content {
    /// Parses the data of an event.
    pub fn of(data: &str) -> Content {
        EventKey::of(data)
            .map_or_else(|| Content::Damaged(data.chars().take(40).collect()), Content::Event)
    }
}

/// The offset in an id.
///
/// # Panics
///
/// If it is not an id.
pub fn offset(id: &str) -> u64 {
    let cursor: Cursor = id.parse().unwrap_or_else(|_| panic!("{id:?} is not an id"));
    cursor.offset.get()
}
