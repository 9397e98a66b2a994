//! A reader that reconnects with its last event id, as a browser does, and records what it receives.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use stentor_hub::Cursor;
use stentor_sse::{Decoder, Item};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::kills::behavior::{Behavior, Form};
use crate::kills::stream::{Opened, Stream};
use stentor_testing::judge::{
    Content, Index, LoggedRecord, Observation, Observations, Received, check_reader, offset,
};

/// Maximum time before it reconnects, in milliseconds. A browser would wait for seconds.
const RECONNECT_MAX: u64 = 120;
/// Maximum time for which it does not read its socket, in milliseconds.
const STALL_MAX: u64 = 1_500;

pub struct Reader {
    observations: Arc<Mutex<Observations>>,
    is_quiet: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Reader {
    pub fn start(address: &str, behavior: Behavior, rng: Rng) -> Reader {
        let observations = Observations {
            name: format!("{behavior:?}"),
            filters: behavior.filters.clone(),
            began: Instant::now(),
            start: behavior.from_earliest.then_some(0),
            seen: Vec::new(),
            is_finished: false,
            reconnects: 0,
        };
        let (observations, is_quiet) =
            (Arc::new(Mutex::new(observations)), Arc::new(AtomicBool::new(false)));
        let reading = Reading {
            address: address.to_owned(),
            behavior,
            rng,
            last_id: String::new(),
            observations: Arc::clone(&observations),
            is_quiet: Arc::clone(&is_quiet),
        };
        Reader { observations, is_quiet, task: tokio::spawn(reading.run()) }
    }

    /// Ends its stalls and cuts.
    pub fn stop_disturbing(&self) {
        self.is_quiet.store(true, Ordering::Relaxed);
    }

    /// Returns `true` if it has read the whole log and got its gaps.
    pub fn has_caught_up(&self, index: &Index<'_>) -> bool {
        let last = {
            let observations = self.observations.lock().unwrap();
            let mut records = index.log.records.iter().rev();
            let is_due = |logged: &&LoggedRecord| {
                observations.matches(&logged.topic) && index.is_left(logged)
            };
            records.find(is_due).map_or(0, |due| due.offset)
        };
        self.task.is_finished() || self.is_at(last) && self.lacks_nothing(index)
    }

    /// Ends it. Returns its observations.
    pub async fn end(self) -> Observations {
        if self.task.is_finished() {
            self.task.await.expect("a reader does not fail");
        } else {
            self.task.abort();
        }
        self.observations.lock().unwrap().clone()
    }

    fn lacks_nothing(&self, index: &Index<'_>) -> bool {
        check_reader(index, &self.observations.lock().unwrap()).is_empty()
    }

    fn is_at(&self, offset: u64) -> bool {
        let observations = self.observations.lock().unwrap();
        observations.start.is_some_and(|start| start >= offset)
            || observations.seen.iter().rev().take(50).any(|seen| seen.offset >= offset)
    }
}

/// The task of a reader.
struct Reading {
    address: String,
    behavior: Behavior,
    rng: Rng,
    last_id: String,
    observations: Arc<Mutex<Observations>>,
    is_quiet: Arc<AtomicBool>,
}

impl Reading {
    async fn run(mut self) {
        let (path, accept) = (self.behavior.path(), self.behavior.accept());
        loop {
            let transport = self.behavior.transport;
            match Stream::open(&self.address, &path, accept, &self.last_id, transport).await {
                Ok(Opened::Finished) => {
                    self.observations.lock().unwrap().is_finished = true;
                    return;
                }
                Ok(Opened::Stream(stream)) => {
                    self.observations.lock().unwrap().reconnects += 1;
                    self.read(stream).await;
                }
                Err(_) => {}
            }
            sleep(Duration::from_millis(self.rng.u64(1..=RECONNECT_MAX))).await;
        }
    }

    /// Reads until the stream ends or breaks.
    async fn read(&mut self, mut stream: Stream) {
        let mut decoder = Decoder::new();
        let mut text = Vec::new();
        while let Ok(Some(piece)) = stream.piece().await {
            if self.behavior.form == Form::Ndjson {
                text.extend_from_slice(&piece);
                self.lines(&mut text);
            } else {
                self.events(&mut decoder, &piece);
            }
            if self.is_quiet.load(Ordering::Relaxed) {
                continue;
            }
            if self.behavior.cuts && self.rng.u8(0..40) == 0 {
                return stream.reset();
            }
            if self.behavior.stalls && self.rng.u8(0..60) == 0 {
                let pause = Duration::from_millis(self.rng.u64(1..=STALL_MAX));
                stream.stall(pause).await;
            }
        }
    }

    fn events(&mut self, decoder: &mut Decoder, piece: &[u8]) {
        let mut input = piece;
        while let Some(item) = decoder.decode(&mut input) {
            let event = match item.unwrap() {
                Item::Event(event) => event,
                // A stream in the silent form reports its position this way.
                Item::Id(id) => {
                    self.position(id.as_str());
                    continue;
                }
                Item::Comment(_) | Item::Retry(_) => continue,
            };
            let name = event.event_type().map_or("message", |name| name.as_str());
            let id = decoder.last_event_id();
            match name {
                "stentor.cursor" => self.position(id),
                "stentor.gap" | "stentor.end" => {
                    let object = serde_json::from_str(event.data()).unwrap();
                    self.object(name, id, &object);
                }
                _ if self.behavior.form == Form::Envelope => {
                    let object: Value = serde_json::from_str(event.data()).unwrap();
                    assert_eq!(object["id"], id, "an envelope has the id of its event");
                    self.object(name, id, &object);
                }
                _ => self.record(id, Content::of(event.data()), self.behavior.only_topic()),
            }
        }
    }

    fn lines(&mut self, text: &mut Vec<u8>) {
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for line in text[..whole].split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let object: Value = serde_json::from_slice(line).unwrap();
            let (name, id) = (object["type"].as_str().unwrap(), object["id"].as_str().unwrap());
            match name {
                "stentor.cursor" => self.position(id),
                _ => self.object(name, id, &object),
            }
        }
        text.drain(..whole);
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

    fn record(&mut self, id: &str, what: Content, topic: Option<String>) {
        self.note(id, Observation::Record(what, topic));
    }

    fn note(&mut self, id: &str, what: Observation) {
        let seen = Received { id: id.to_owned(), offset: offset(id), at: Instant::now(), what };
        self.set_last_id(id);
        self.observations.lock().unwrap().seen.push(seen);
    }

    fn position(&mut self, id: &str) {
        self.set_last_id(id);
        self.observations.lock().unwrap().start.get_or_insert(offset(id));
    }

    fn set_last_id(&mut self, id: &str) {
        if self.last_id.is_empty() {
            self.observations.lock().unwrap().began = Instant::now();
        }
        id.clone_into(&mut self.last_id);
    }
}
