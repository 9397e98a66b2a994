//! What the log holds, as a reader of all of it is told.

use serde_json::Value;
use stentor_hub::Cursor;
use tokio::time::Instant;

use crate::kills::ledger::Token;
use crate::kills::stream::{Opened, Stream, Wire};

/// All that there is.
const PATH: &str = "/events?topic=**&from=earliest";
/// How often a reading may be cut.
const CUTS_MAX: usize = 100;

/// The records of all topics, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub records: Vec<Logged>,
    /// Topics of which something was trimmed while they were read.
    pub trimmed: Vec<String>,
    /// Whether the oldest of all may go while it is read.
    pub is_bounded: bool,
    /// Nobody wrote any more when it was read.
    pub is_final: bool,
    /// If it is a part only: it has everything that was sent at or after this moment.
    pub since: Option<Instant>,
    /// And nothing up to this offset.
    pub after: u64,
}

#[derive(Clone, Debug)]
pub struct Logged {
    pub id: String,
    pub offset: u64,
    pub topic: String,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Event(Token),
    /// Data that nobody can have sent: its beginning.
    Damaged(String),
    /// An end and its reason.
    End(String),
}

impl Log {
    /// Reads all topics from a cursor (or the beginning) to the record with this id.
    ///
    /// # Panics
    /// If it cannot be read, a gap is told, or the record is not there.
    pub async fn read(address: &str, after: Option<&str>, until: &str, is_bounded: bool) -> Log {
        let mut log = Log { after: after.map_or(0, offset), is_bounded, ..Log::default() };
        let mut cursor = after.unwrap_or_default().to_owned();
        // A stream is cut where an event is deleted while it is sent; reading goes on behind it.
        for _ in 0..CUTS_MAX {
            if log.read_on(address, &cursor, until).await {
                return log;
            }
            cursor = log.records.last().map_or(cursor, |logged| logged.id.clone());
        }
        panic!("the log cannot be read to {until}");
    }

    /// Reads until the record with this id, or the place where it was, which is true, or until the stream is
    /// cut.
    async fn read_on(&mut self, address: &str, cursor: &str, until: &str) -> bool {
        let opened =
            Stream::open(address, PATH, "application/x-ndjson", cursor, Wire::Socket).await;
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
                let Some(logged) = Logged::of(&object) else { continue };
                if logged.offset > last {
                    assert!(self.is_bounded, "the log goes on without {until}");
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

    /// Topics lost something while they were read: what came of them before is gone too.
    fn gap(&mut self, object: &Value) {
        let topics = object["topics"].as_array().unwrap().iter();
        let topics: Vec<String> = topics.map(|topic| topic.as_str().unwrap().to_owned()).collect();
        // Where the bound took something, all that came before it is gone.
        self.records.retain(|logged| !self.is_bounded && !topics.contains(&logged.topic));
        match object["reason"].as_str() {
            Some("deleted") if !self.is_bounded => {}
            // One gap tells of several topics, with one reason.
            Some("deleted" | "trimmed") => self.trimmed.extend(topics),
            _ => panic!("a gap in the log: {object}"),
        }
    }

    /// Whether the bound may have taken a beginning of it: one that is read behind a cursor is told so.
    pub fn may_lack_the_oldest(&self) -> bool {
        self.is_bounded && (self.since.is_none() || !self.trimmed.is_empty())
    }

    pub fn events(&self) -> impl Iterator<Item = (&Logged, Token)> {
        self.records.iter().filter_map(|logged| Some((logged, logged.token()?)))
    }
}

impl Logged {
    pub fn new(id: &str, topic: &str, what: What) -> Logged {
        Logged { offset: offset(id), id: id.to_owned(), topic: topic.to_owned(), what }
    }

    /// `None` for positions and for what is deleted meanwhile.
    fn of(object: &Value) -> Option<Logged> {
        let text = |name: &str| object[name].as_str().unwrap_or_default();
        let what = match text("type") {
            "stentor.cursor" => return None,
            // They are told to those who had a topic, and are not in the log of those who come later.
            "stentor.end" if text("reason") == "deleted" => return None,
            "stentor.end" => What::End(text("reason").to_owned()),
            _ => What::of(text("data")),
        };
        Some(Logged::new(text("id"), text("topic"), what))
    }

    pub fn token(&self) -> Option<Token> {
        if let What::Event(token) = self.what { Some(token) } else { None }
    }
}

impl What {
    pub fn of(data: &str) -> What {
        Token::of(data).map_or_else(|| What::Damaged(data.chars().take(40).collect()), What::Event)
    }
}

/// The offset within an id.
///
/// # Panics
/// If it is none.
pub fn offset(id: &str) -> u64 {
    let cursor: Cursor = id.parse().unwrap_or_else(|_| panic!("{id:?} is no id"));
    cursor.offset.get()
}
