//! The content of the log, as read by a client that subscribes to all topics.

use serde_json::Value;
use stentor_hub::Cursor;
use tokio::time::Instant;

use crate::kills::history::EventKey;
use crate::kills::stream::{Opened, Stream, Transport};

/// All topics, from the first event.
const PATH: &str = "/events?topic=**&from=earliest";
/// Maximum number of broken streams while the log is read.
const CUTS_MAX: usize = 100;

/// The records of all topics, in the order in which they arrived.
#[derive(Clone, Debug, Default)]
pub struct Log {
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

#[derive(Clone, Debug)]
pub struct LoggedRecord {
    pub id: String,
    pub offset: u64,
    pub topic: String,
    pub what: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Event(EventKey),
    /// Data that no publisher has sent. Holds its first characters.
    Damaged(String),
    /// An end with its reason.
    End(String),
}

impl Log {
    /// Reads all topics, from a cursor or the start, up to the record with the id `until`.
    ///
    /// # Panics
    ///
    /// If it cannot be read, a gap is reported, or the record is missing.
    pub async fn read(address: &str, after: Option<&str>, until: &str, is_bounded: bool) -> Log {
        let mut log = Log { after: after.map_or(0, offset), is_bounded, ..Log::default() };
        let mut cursor = after.unwrap_or_default().to_owned();
        // The server cuts a stream when an event is deleted that it is sending. Reading continues after that event.
        for _ in 0..CUTS_MAX {
            if log.read_on(address, &cursor, until).await {
                return log;
            }
            cursor = log.records.last().map_or(cursor, |logged| logged.id.clone());
        }
        panic!("the log cannot be read up to {until}");
    }

    /// Reads up to the record with the id `until`, or up to its offset if it was removed. Returns `false` if the
    /// stream was cut before.
    async fn read_on(&mut self, address: &str, cursor: &str, until: &str) -> bool {
        let opened =
            Stream::open(address, PATH, "application/x-ndjson", cursor, Transport::Socket).await;
        let Ok(Opened::Stream(mut stream)) = opened else { return false };
        let (mut text, last) = (Vec::new(), offset(until));
        while let Ok(Some(piece)) = stream.piece().await {
            text.extend_from_slice(&piece);
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let lines = text[..whole].split(|byte| *byte == b'\n');
            for line in lines.filter(|line| !line.is_empty()) {
                let object: Value = serde_json::from_slice(line).unwrap();
                if object["type"] == "stentor.gap" {
                    self.gap(&object);
                    if offset(object["id"].as_str().unwrap()) >= last {
                        return true;
                    }
                    continue;
                }
                let Some(logged) = LoggedRecord::of(&object) else { continue };
                if logged.offset > last {
                    assert!(self.is_bounded, "the log continues without {until}");
                    return true;
                }
                self.records.push(logged);
                if self.records.last().is_some_and(|logged| logged.offset == last) {
                    return true;
                }
            }
            text.drain(..whole);
        }
        false
    }

    /// Handles a gap: topics lost events while they were read, so the records of them that were read before are gone
    /// too.
    fn gap(&mut self, object: &Value) {
        let topics = object["topics"].as_array().unwrap().iter();
        let topics: Vec<String> = topics.map(|topic| topic.as_str().unwrap().to_owned()).collect();
        // The size limit removes the oldest records of all topics, so everything read before is gone.
        self.records.retain(|logged| !self.is_bounded && !topics.contains(&logged.topic));
        match object["reason"].as_str() {
            Some("deleted") if !self.is_bounded => {}
            // One gap may cover several topics, with one reason.
            Some("deleted" | "trimmed") => self.trimmed.extend(topics),
            _ => panic!("unexpected gap in the log: {object}"),
        }
    }

    /// Returns `true` if the size limit may have removed the oldest records of it. A reading after a cursor gets a
    /// gap in that case.
    pub fn may_lack_the_oldest(&self) -> bool {
        self.is_bounded && (self.since.is_none() || !self.trimmed.is_empty())
    }

    pub fn events(&self) -> impl Iterator<Item = (&LoggedRecord, EventKey)> {
        self.records.iter().filter_map(|logged| Some((logged, logged.event_key()?)))
    }
}

impl LoggedRecord {
    pub fn new(id: &str, topic: &str, what: Content) -> LoggedRecord {
        LoggedRecord { offset: offset(id), id: id.to_owned(), topic: topic.to_owned(), what }
    }

    /// Returns `None` for positions, and for topics that are deleted meanwhile.
    fn of(object: &Value) -> Option<LoggedRecord> {
        let text = |name: &str| object[name].as_str().unwrap_or_default();
        let what = match text("type") {
            "stentor.cursor" => return None,
            // Only readers that had received events of the topic get this. The log does not contain it for later
            // readers.
            "stentor.end" if text("reason") == "deleted" => return None,
            "stentor.end" => Content::End(text("reason").to_owned()),
            _ => Content::of(text("data")),
        };
        Some(LoggedRecord::new(text("id"), text("topic"), what))
    }

    pub fn event_key(&self) -> Option<EventKey> {
        if let Content::Event(event_key) = self.what { Some(event_key) } else { None }
    }
}

impl Content {
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
