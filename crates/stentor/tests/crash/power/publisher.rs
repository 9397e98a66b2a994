//! Those who write, each in a way of its own.

use std::fmt::Write;
use std::path::PathBuf;

use fastrand::Rng;
use serde_json::{Value, json};
use stentor_hub::Cursor;

use super::journal;
use super::ledger::{Answered, Kind, Ledger, Op, Sent};
use super::machine::ask;

/// How a publisher writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// One event after the other, to a topic that others write to as well.
    Shared,
    /// One event after the other, each with a key, and again if no answer came.
    Keyed,
    /// Several events in one body of NDJSON.
    Uploads,
    /// Atomic batches over several topics.
    Batches,
    /// Topics of one event, with an end.
    Ends,
    /// Large events, and then the whole topic is deleted.
    Deletes,
    /// So many events at once that further offsets are reserved, and then the topic is deleted.
    Floods,
}

/// One who writes, and what it did so far.
pub struct Publisher {
    habit: Habit,
    ledger: Ledger,
    journal: PathBuf,
    place: usize,
    events: usize,
    rng: Rng,
}

impl Publisher {
    pub fn new(habit: Habit, ledger: &Ledger, journal: PathBuf, rng: Rng) -> Publisher {
        let place = ledger.publisher();
        Publisher { habit, ledger: ledger.clone(), journal, place, events: 0, rng }
    }

    /// Does so many things, fewer if the server ends before.
    pub async fn work(mut self, address: String, ops: usize) -> Publisher {
        let unanswered = self.last_unanswered();
        if self.habit == Habit::Keyed
            && let Some(at) = unanswered
        {
            self.answer(&address, at).await;
        }
        for step in 0..ops {
            let kind = self.next(step);
            let at = self.note(kind);
            if !self.answer(&address, at).await {
                break;
            }
        }
        self
    }

    fn next(&mut self, step: usize) -> Kind {
        let place = self.place;
        let own = format!("keep/{place}");
        match self.habit {
            Habit::Shared => self.single("keep/shared".to_owned(), 9_000),
            Habit::Keyed => {
                let kind = self.single(own, 2_000);
                let Kind::Single { sent, .. } = kind else { unreachable!("it is single") };
                Kind::Single { sent, key: Some(format!("k{place}-{}", self.events)), ends: false }
            }
            Habit::Uploads => {
                let count = self.rng.usize(2..30);
                Kind::Upload((0..count).map(|_| self.event(own.clone(), 300)).collect())
            }
            Habit::Batches => {
                let count = self.rng.usize(2..9);
                let topic = |at: usize| format!("keep/{place}/{}", at % 3);
                Kind::Batch((0..count).map(|at| self.event(topic(at), 3_000)).collect())
            }
            Habit::Ends => {
                let sent = self.event(format!("keep/{place}/{}", self.events), 100);
                Kind::Single { sent, key: None, ends: true }
            }
            Habit::Deletes if step % 4 == 3 => Kind::Delete { topic: format!("gone/{place}") },
            Habit::Deletes => self.single(format!("gone/{place}"), 150_000),
            Habit::Floods if step % 2 == 1 => Kind::Delete { topic: format!("gone/{place}") },
            Habit::Floods => {
                /// More than half of what is reserved at a time.
                const EVENTS: usize = 33_000;
                Kind::Upload((0..EVENTS).map(|_| self.event(format!("gone/{place}"), 0)).collect())
            }
        }
    }

    fn single(&mut self, topic: String, bytes_max: usize) -> Kind {
        Kind::Single { sent: self.event(topic, bytes_max), key: None, ends: false }
    }

    /// An event of mostly little data, and now and then much.
    fn event(&mut self, topic: String, bytes_max: usize) -> Sent {
        self.events += 1;
        let most = if self.rng.u8(..) < 64 { bytes_max } else { bytes_max / 20 };
        let padding = self.rng.usize(..=most);
        Sent { topic, data: format!("{}-{}{}", self.place, self.events, ".".repeat(padding)) }
    }

    fn note(&self, kind: Kind) -> usize {
        let op = Op { kind, asked: journal::length(&self.journal), answered: None };
        let ops = &mut self.ledger.memory().publishers[self.place];
        ops.push(op);
        ops.len() - 1
    }

    fn last_unanswered(&self) -> Option<usize> {
        let memory = self.ledger.memory();
        let ops = &memory.publishers[self.place];
        let last = ops.last()?;
        last.answered.is_none().then(|| ops.len() - 1)
    }

    /// Asks for an op; says whether there was an answer.
    async fn answer(&self, address: &str, at: usize) -> bool {
        let kind = self.ledger.memory().publishers[self.place][at].kind.clone();
        let Some(answered) = send(address, &kind, &self.journal).await else { return false };
        self.ledger.memory().publishers[self.place][at].answered = Some(answered);
        true
    }
}

/// Does what was asked for; `None` if there is no answer. A bad one is a defect.
pub async fn send(address: &str, kind: &Kind, journal: &std::path::Path) -> Option<Answered> {
    let (head, body) = request(kind);
    let answer = ask(address, &head, body.as_bytes()).await?;
    let at = journal::length(journal);
    if answer.status == 503 && answer.text().contains("\"draining\"") {
        return None;
    }
    assert!(matches!(answer.status, 200 | 201 | 204), "{head}: {answer:?}");
    if answer.status == 204 {
        return Some(Answered { at, ids: None });
    }
    let answer = answer.json();
    let id = |name: &str| answer[name].as_str().map(|id| id.parse::<Cursor>().unwrap());
    let first = id("id").or_else(|| id("first_id")).expect("an id");
    Some(Answered { at, ids: Some((first, id("last_id").unwrap_or(first))) })
}

fn request(kind: &Kind) -> (String, String) {
    const NDJSON: &str = "Content-Type: application/x-ndjson";
    match kind {
        Kind::Single { sent, key, ends } => {
            let end = if *ends { "?end=done" } else { "" };
            let key =
                key.as_ref().map_or(String::new(), |key| format!("\r\nIdempotency-Key: {key}"));
            (format!("POST /topics/{}{end} HTTP/1.1{key}", sent.topic), sent.data.clone())
        }
        Kind::Upload(sent) => {
            let mut body = String::new();
            for event in sent {
                writeln!(body, "{}", event.data).unwrap();
            }
            (format!("POST /topics/{} HTTP/1.1\r\n{NDJSON}", sent[0].topic), body)
        }
        Kind::Batch(sent) => {
            let events = sent.iter().map(|sent| json!({"topic": sent.topic, "data": sent.data}));
            let body = Value::Array(events.collect()).to_string();
            ("POST /topics HTTP/1.1\r\nContent-Type: application/json".to_owned(), body)
        }
        Kind::Delete { topic } => (format!("DELETE /topics/{topic} HTTP/1.1"), String::new()),
    }
}
