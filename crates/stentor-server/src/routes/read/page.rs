//! A page of history as JSON, encoded piece by piece.

use std::sync::Arc;
use std::vec;

use serde::Serialize;
use serde_json::{Map, Value, json};
use stentor_hub::{Event, EventObject, HistoryPage, Record, TopicName};

use crate::held::PieceSource;
use crate::json::{append, append_content};
use crate::limits::PIECE_BYTES_MAX;

/// Approximate memory of a record besides its data and its topic, in bytes.
const RECORD_BYTES: usize = 256;
/// Number of bytes of an event's data that are encoded at once. Escapes can make six times as many of it.
const DATA_BYTES_AT_ONCE: usize = 2 << 10;
/// Memory that a page needs for each event besides its data, in bytes, before the events are known.
pub(super) const EVENT_OVERHEAD_BYTES: usize = RECORD_BYTES + TopicName::BYTES_MAX;

/// The events of a page that are not encoded yet, and the members around them.
pub(super) struct PageEncoder {
    /// The text before the next event.
    before: Vec<u8>,
    events: vec::IntoIter<Arc<Record>>,
    /// The event whose data is being encoded, and the number of bytes that are.
    open: Option<(Arc<Record>, usize)>,
    /// The members after the events.
    after: Vec<u8>,
    held: usize,
}

/// The members of an event before its data.
#[derive(Serialize)]
struct Members<'a> {
    id: String,
    topic: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    time: String,
}

/// The members of a page after its events.
#[derive(Serialize)]
struct Rest {
    next: Option<String>,
    earliest: Option<String>,
    tail: String,
    gap: Option<Value>,
    ended: Option<Ended>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// The end of the topics of a page.
#[derive(Serialize)]
struct Ended {
    reason: Option<String>,
    time: String,
    id: String,
}

impl PageEncoder {
    /// Begins to encode a page. `more` are members besides its own.
    pub(super) fn new(page: HistoryPage, more: Map<String, Value>) -> PageEncoder {
        let rest = Rest {
            next: page.next.map(|cursor| cursor.to_string()),
            earliest: page.earliest.map(|cursor| cursor.to_string()),
            tail: page.tail.to_string(),
            gap: page.gap.as_ref().map(|gap| json!(gap)),
            ended: page.ended.as_ref().map(|end| Ended {
                reason: end.end_reason().map(str::to_owned),
                time: end.time().to_string(),
                id: end.cursor().to_string(),
            }),
            more,
        };
        let (before, mut after) = (b"{\"events\":[".to_vec(), b"],".to_vec());
        append_members(&mut after, &rest);
        after.push(b'\n');
        let held = memory_bytes(&page);
        PageEncoder { before, events: page.events.into_iter(), open: None, after, held }
    }

    /// Begins the next event. Returns `false` if there is none.
    fn open_next(&mut self, piece: &mut Vec<u8>) -> bool {
        piece.append(&mut self.before);
        let next = self.events.find(|record| record.event().is_some());
        let Some(record) = next else { return false };
        if let Some(event) = EventObject::of(&record) {
            let EventObject { id, topic, event_type, time, .. } = event;
            append(piece, &Members { id, topic, event_type, time });
            piece.pop();
        }
        piece.extend_from_slice(b",\"data\":\"");
        self.open = Some((record, 0));
        true
    }

    /// Encodes more of the data of the open event, and its other members after the last of it.
    fn continue_open(&mut self, piece: &mut Vec<u8>) {
        let Some((record, encoded)) = &mut self.open else { return };
        let data = record.event().map_or("", Event::data);
        let rest = data.get(*encoded..).unwrap_or_default();
        if !rest.is_empty() {
            *encoded += append_content(piece, rest, DATA_BYTES_AT_ONCE);
        }
        if *encoded < data.len() {
            return;
        }
        piece.push(b'"');
        if let Some(retry) = EventObject::of(record).and_then(|event| event.retry) {
            piece.extend_from_slice(b",\"retry\":");
            append(piece, &retry);
        }
        piece.push(b'}');
        self.held = self.held.saturating_sub(record_bytes(record));
        self.open = None;
        self.before.push(b',');
    }
}

impl PieceSource for PageEncoder {
    fn encode(&mut self, piece: &mut Vec<u8>) -> bool {
        while piece.len() < PIECE_BYTES_MAX {
            if self.open.is_none() && !self.open_next(piece) {
                if piece.last() == Some(&b',') {
                    piece.pop();
                }
                piece.append(&mut self.after);
                return false;
            }
            self.continue_open(piece);
        }
        true
    }

    fn held_bytes(&self) -> usize {
        self.held
    }
}

/// Returns the approximate memory of a page, in bytes.
pub(super) fn memory_bytes(page: &HistoryPage) -> usize {
    page.events.iter().map(|record| record_bytes(record)).sum()
}

fn record_bytes(record: &Record) -> usize {
    RECORD_BYTES + record.topic().as_str().len() + record.body().bytes()
}

/// Appends the members of an object, without its opening brace.
fn append_members(piece: &mut Vec<u8>, object: &impl Serialize) {
    let begin = piece.len();
    append(piece, object);
    piece.remove(begin);
}
