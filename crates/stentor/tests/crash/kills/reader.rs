//! A reader that comes back for ever by the last id it was told, as a browser does, and keeps a diary.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use stentor_hub::Cursor;
use stentor_sse::{Decoder, Item};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use crate::kills::diary::{Diary, Seen, Told};
use crate::kills::habit::{Form, Habit};
use crate::kills::log::{What, offset};
use crate::kills::stream::{Opened, Stream};
use crate::kills::verdict::{Facts, judge_diary};

/// The longest wait before it comes back, in milliseconds; a browser would wait for seconds.
const COMES_BACK_MAX: u64 = 120;
/// The longest time for which it leaves its socket unread, in milliseconds.
const STALL_MAX: u64 = 1_500;

pub struct Reader {
    diary: Arc<Mutex<Diary>>,
    calm: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Reader {
    pub fn start(address: &str, habit: Habit, rng: Rng) -> Reader {
        let diary = Diary {
            name: format!("{habit:?}"),
            filters: habit.filters.clone(),
            began: Instant::now(),
            start: habit.from_earliest.then_some(0),
            seen: Vec::new(),
            is_finished: false,
            reconnects: 0,
        };
        let (diary, calm) = (Arc::new(Mutex::new(diary)), Arc::new(AtomicBool::new(false)));
        let reading = Reading {
            address: address.to_owned(),
            habit,
            rng,
            last_id: String::new(),
            diary: Arc::clone(&diary),
            calm: Arc::clone(&calm),
        };
        Reader { diary, calm, task: tokio::spawn(reading.run()) }
    }

    /// From now on it reads without stalls and cuts.
    pub fn calm(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// Gives it the time until then to read all of the log, and to be told what it lost, and takes its diary.
    pub async fn finish(self, facts: &Facts<'_>, until: Instant) -> Diary {
        let last = {
            let diary = self.diary.lock().unwrap();
            let due = facts.log.records.iter().rev();
            due.clone().find(|logged| diary.asks_for(&logged.topic)).map_or(0, |due| due.offset)
        };
        let caught_up = timeout_at(until, async {
            while !(self.task.is_finished() || self.is_at(last) && self.lacks_nothing(facts)) {
                sleep(Duration::from_millis(10)).await;
            }
        });
        // Who has not caught up has lost something, and its diary shows it.
        let _ = caught_up.await;
        if self.task.is_finished() {
            self.task.await.expect("a reader does not fail");
        } else {
            self.task.abort();
        }
        self.diary.lock().unwrap().clone()
    }

    fn lacks_nothing(&self, facts: &Facts<'_>) -> bool {
        judge_diary(facts, &self.diary.lock().unwrap()).is_empty()
    }

    fn is_at(&self, offset: u64) -> bool {
        let diary = self.diary.lock().unwrap();
        diary.start.is_some_and(|start| start >= offset)
            || diary.seen.iter().rev().take(50).any(|seen| seen.offset >= offset)
    }
}

/// The reader at work.
struct Reading {
    address: String,
    habit: Habit,
    rng: Rng,
    last_id: String,
    diary: Arc<Mutex<Diary>>,
    calm: Arc<AtomicBool>,
}

impl Reading {
    async fn run(mut self) {
        let (path, accept) = (self.habit.path(), self.habit.accept());
        loop {
            let wire = self.habit.wire;
            match Stream::open(&self.address, &path, accept, &self.last_id, wire).await {
                Ok(Opened::Finished) => {
                    self.diary.lock().unwrap().is_finished = true;
                    return;
                }
                Ok(Opened::Stream(stream)) => {
                    self.diary.lock().unwrap().reconnects += 1;
                    self.read(stream).await;
                }
                Err(_) => {}
            }
            sleep(Duration::from_millis(self.rng.u64(1..=COMES_BACK_MAX))).await;
        }
    }

    /// Reads until the stream ends or breaks.
    async fn read(&mut self, mut stream: Stream) {
        let mut decoder = Decoder::new();
        let mut text = Vec::new();
        while let Ok(Some(piece)) = stream.piece().await {
            if self.habit.form == Form::Ndjson {
                text.extend_from_slice(&piece);
                self.lines(&mut text);
            } else {
                self.events(&mut decoder, &piece);
            }
            if self.calm.load(Ordering::Relaxed) {
                continue;
            }
            if self.habit.cuts && self.rng.u8(0..40) == 0 {
                return stream.reset();
            }
            if self.habit.stalls && self.rng.u8(0..60) == 0 {
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
                // So a silent stream says where it is.
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
                    self.told(name, id, &object);
                }
                _ if self.habit.form == Form::Envelope => {
                    let object: Value = serde_json::from_str(event.data()).unwrap();
                    assert_eq!(object["id"], id, "an envelope has the id of its event");
                    self.told(name, id, &object);
                }
                _ => self.record(id, What::of(event.data()), self.habit.only_topic()),
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
                _ => self.told(name, id, &object),
            }
        }
        text.drain(..whole);
    }

    /// An object with its fields.
    fn told(&mut self, name: &str, id: &str, object: &Value) {
        let text = |name: &str| object[name].as_str().unwrap_or_default().to_owned();
        match name {
            "stentor.gap" => {
                let requested: Option<Cursor> = text("requested").parse().ok();
                let topics = object["topics"].as_array().unwrap().iter();
                let what = Told::Gap {
                    reason: text("reason"),
                    requested: requested.map(|cursor| cursor.offset.get()),
                    topics: topics.map(|topic| topic.as_str().unwrap().to_owned()).collect(),
                };
                self.note(id, what);
            }
            "stentor.end" => self.record(id, What::End(text("reason")), Some(text("topic"))),
            _ => self.record(id, What::of(&text("data")), Some(text("topic"))),
        }
    }

    fn record(&mut self, id: &str, what: What, topic: Option<String>) {
        self.note(id, Told::Record(what, topic));
    }

    fn note(&mut self, id: &str, what: Told) {
        let seen = Seen { id: id.to_owned(), offset: offset(id), at: Instant::now(), what };
        self.move_on(id);
        self.diary.lock().unwrap().seen.push(seen);
    }

    fn position(&mut self, id: &str) {
        self.move_on(id);
        self.diary.lock().unwrap().start.get_or_insert(offset(id));
    }

    fn move_on(&mut self, id: &str) {
        if self.last_id.is_empty() {
            self.diary.lock().unwrap().began = Instant::now();
        }
        id.clone_into(&mut self.last_id);
    }
}
