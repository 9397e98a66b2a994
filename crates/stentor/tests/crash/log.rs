//! What the log holds, as a reader of all of it is told.

use serde_json::Value;
use stentor_hub::Cursor;
use tokio::time::Instant;

use crate::ledger::Token;
use crate::stream::{Opened, Stream};

/// The records of all topics, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Log {
    pub records: Vec<Logged>,
    /// If it is a part only: everything that was acknowledged at or after this moment.
    pub since: Option<Instant>,
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
    /// If the stream breaks off, tells a gap, or leaves the record out.
    pub async fn read(address: &str, after: Option<&str>, until: &str) -> Log {
        let path = "/events?topic=**&from=earliest";
        let accept = "application/x-ndjson";
        let opened = Stream::open(address, path, accept, after.unwrap_or_default()).await;
        let Ok(Opened::Stream(mut stream)) = opened else { panic!("the log cannot be read") };
        let (mut log, mut text) = (Log::default(), Vec::new());
        let last = offset(until);
        loop {
            let piece = stream.piece().await.expect("the whole log").expect("no end of a glob");
            text.extend_from_slice(&piece);
            let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let lines = text[..whole].split(|byte| *byte == b'\n');
            for line in lines.filter(|line| !line.is_empty()) {
                let object: Value = serde_json::from_slice(line).unwrap();
                let Some(logged) = Logged::of(&object) else { continue };
                assert!(logged.offset <= last, "the log goes on without {until}");
                log.records.push(logged);
                if log.records.last().is_some_and(|logged| logged.offset == last) {
                    return log;
                }
            }
            text.drain(..whole);
        }
    }

    pub fn events(&self) -> impl Iterator<Item = (&Logged, Token)> {
        self.records.iter().filter_map(|logged| Some((logged, logged.token()?)))
    }
}

impl Logged {
    pub fn new(id: &str, topic: &str, what: What) -> Logged {
        Logged { offset: offset(id), id: id.to_owned(), topic: topic.to_owned(), what }
    }

    /// `None` for the position with which a reading begins.
    fn of(object: &Value) -> Option<Logged> {
        let text = |name: &str| object[name].as_str().unwrap_or_default();
        let what = match text("type") {
            "stentor.cursor" => return None,
            "stentor.gap" => panic!("a gap in the log: {object}"),
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
