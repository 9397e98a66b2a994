//! Turns the bytes of a stream into observations, as a client does.

use std::time::Duration;

use serde_json::Value;
use stentor_hub::Cursor;
use stentor_sse::{Decoder, Item};
use tokio::time::Instant;

use super::log::{Content, offset};
use super::observations::{Observation, Observations, Received};

/// The form of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Events as they were sent.
    Plain,
    /// Plain, without `stentor.gap` and `stentor.end`.
    Silent,
    /// Each event in a JSON object with its topic.
    Envelope,
    /// One JSON object per line.
    Ndjson,
}

/// Reads the streams of one reader, over all its connections, and records what it receives.
#[derive(Debug)]
pub struct Recorder {
    /// Everything received so far.
    pub observations: Observations,
    form: Form,
    decoder: Decoder,
    /// An incomplete line, in NDJSON.
    text: Vec<u8>,
    last_id: String,
    reconnection_time: Option<Duration>,
}

impl Recorder {
    /// Creates a recorder that has received nothing.
    pub fn new(observations: Observations, form: Form) -> Recorder {
        Recorder {
            observations,
            form,
            decoder: Decoder::new(),
            text: Vec::new(),
            last_id: String::new(),
            reconnection_time: None,
        }
    }

    /// Starts to read a new connection. An unfinished event of the previous one is discarded.
    pub fn connect(&mut self) {
        self.observations.reconnects += 1;
        self.decoder = Decoder::new();
        self.decoder.set_last_event_id(&self.last_id);
        self.text.clear();
    }

    /// The id to reconnect with; empty if there is none.
    pub fn last_id(&self) -> &str {
        &self.last_id
    }

    /// Takes the last reconnection time that the stream set with `retry:`.
    pub fn take_reconnection_time(&mut self) -> Option<Duration> {
        self.reconnection_time.take()
    }

    /// Reads the next bytes of the stream.
    ///
    /// # Panics
    ///
    /// If the server's own messages cannot be read.
    pub fn read(&mut self, piece: &[u8]) {
        if self.form == Form::Ndjson {
            self.text.extend_from_slice(piece);
            self.lines();
        } else {
            self.events(piece);
        }
    }

    fn events(&mut self, mut input: &[u8]) {
        while let Some(item) = self.decoder.decode(&mut input) {
            let event = match item.unwrap() {
                Item::Event(event) => event,
                // A stream in the silent form reports its position this way.
                Item::Id(id) => {
                    self.position(id.as_str());
                    continue;
                }
                Item::Retry(time) => {
                    self.reconnection_time = Some(time);
                    continue;
                }
                Item::Comment(_) => continue,
            };
            let name = event.event_type().map_or("message", |name| name.as_str());
            let id = self.decoder.last_event_id().to_owned();
            match name {
                "stentor.cursor" => self.position(&id),
                "stentor.gap" | "stentor.end" => {
                    let object = serde_json::from_str(event.data()).unwrap();
                    self.object(name, &id, &object);
                }
                _ if self.form == Form::Envelope => {
                    let object: Value = serde_json::from_str(event.data()).unwrap();
                    assert_eq!(object["id"], id, "an envelope has the id of its event");
                    self.object(name, &id, &object);
                }
                _ => self.record(&id, Content::of(event.data()), self.only_topic()),
            }
        }
    }

    fn lines(&mut self) {
        let whole = self.text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let rest = self.text.split_off(whole);
        let text = std::mem::replace(&mut self.text, rest);
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let object: Value = serde_json::from_slice(line).unwrap();
            let (name, id) = (object["type"].as_str().unwrap(), object["id"].as_str().unwrap());
            match name {
                "stentor.cursor" => self.position(id),
                _ => self.object(name, id, &object),
            }
        }
    }

    /// Handles a JSON object with the fields of an event.
    fn object(&mut self, name: &str, id: &str, object: &Value) {
        let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        match name {
            "stentor.gap" => {
                let requested: Option<Cursor> = text("requested").parse().ok();
                let topics = object["topics"].as_array().unwrap().iter();
                let what = Observation::Gap {
                    reason: text("reason"),
                    requested: requested.map(|cursor| cursor.offset.get()),
                    topics: topics.map(|topic| topic.as_str().unwrap().to_owned()).collect(),
                };
                self.note(id, what);
            }
            "stentor.end" => self.record(id, Content::End(text("reason")), Some(text("topic"))),
            _ => self.record(id, Content::of(&text("data")), Some(text("topic"))),
        }
    }

    /// The topic of all events, if the reader has one filter that is not a pattern.
    fn only_topic(&self) -> Option<String> {
        match self.observations.filters.as_slice() {
            [topic] if !topic.contains('*') => Some(topic.clone()),
            _ => None,
        }
    }

    fn record(&mut self, id: &str, what: Content, topic: Option<String>) {
        self.note(id, Observation::Record(what, topic));
    }

    fn note(&mut self, id: &str, what: Observation) {
        let seen = Received { id: id.to_owned(), offset: offset(id), at: Instant::now(), what };
        self.set_last_id(id);
        self.observations.seen.push(seen);
    }

    fn position(&mut self, id: &str) {
        self.set_last_id(id);
        self.observations.start.get_or_insert(offset(id));
    }

    fn set_last_id(&mut self, id: &str) {
        if self.last_id.is_empty() {
            self.observations.began = Instant::now();
        }
        id.clone_into(&mut self.last_id);
    }
}
