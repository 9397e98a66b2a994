//! Publishers, each with its own kind of request.

use std::fmt::Write;
use std::path::PathBuf;

use fastrand::Rng;
use serde_json::{Value, json};
use stentor_hub::Cursor;

use super::history::{Acknowledged, Kind, Op, Sent, SharedHistory};
use super::journal;
use super::server::ask;

/// The requests of a publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// Single events, to a topic that others write to as well.
    Shared,
    /// Single events with an idempotency key, repeated if there is no response.
    Keyed,
    /// Several events in one NDJSON body.
    Uploads,
    /// Atomic batches over several topics.
    Batches,
    /// Topics of one event, with an end.
    Ends,
    /// Large events, after which the whole topic is deleted.
    Deletes,
    /// Uploads so large that further offsets are reserved, after which the topic is deleted.
    Floods,
}

/// A publisher, and its progress.
pub struct Publisher {
    behavior: Behavior,
    history: SharedHistory,
    journal: PathBuf,
    index: usize,
    events: usize,
    rng: Rng,
}

impl Publisher {
    pub fn new(
        behavior: Behavior,
        history: &SharedHistory,
        journal: PathBuf,
        rng: Rng,
    ) -> Publisher {
        let index = history.publisher();
        Publisher { behavior, history: history.clone(), journal, index, events: 0, rng }
    }

    /// Sends `ops` requests, or fewer if the server ends before.
    pub async fn work(mut self, address: String, ops: usize) -> Publisher {
        let unacknowledged = self.last_unacknowledged();
        if self.behavior == Behavior::Keyed
            && let Some(at) = unacknowledged
        {
            self.request_op(&address, at).await;
        }
        for step in 0..ops {
            let kind = self.next(step);
            let at = self.note(kind);
            if !self.request_op(&address, at).await {
                break;
            }
        }
        self
    }

    fn next(&mut self, step: usize) -> Kind {
        let index = self.index;
        let own = format!("keep/{index}");
        match self.behavior {
            Behavior::Shared => self.single("keep/shared".to_owned(), 9_000),
            Behavior::Keyed => {
                let kind = self.single(own, 2_000);
                let Kind::Single { sent, .. } = kind else { unreachable!("it is single") };
                Kind::Single { sent, key: Some(format!("k{index}-{}", self.events)), ends: false }
            }
            Behavior::Uploads => {
                let count = self.rng.usize(2..30);
                Kind::Upload((0..count).map(|_| self.event(own.clone(), 300)).collect())
            }
            Behavior::Batches => {
                let count = self.rng.usize(2..9);
                let topic = |at: usize| format!("keep/{index}/{}", at % 3);
                Kind::Batch((0..count).map(|at| self.event(topic(at), 3_000)).collect())
            }
            Behavior::Ends => {
                let sent = self.event(format!("keep/{index}/{}", self.events), 100);
                Kind::Single { sent, key: None, ends: true }
            }
            Behavior::Deletes if step % 4 == 3 => Kind::Delete { topic: format!("gone/{index}") },
            Behavior::Deletes => self.single(format!("gone/{index}"), 150_000),
            Behavior::Floods if step % 2 == 1 => Kind::Delete { topic: format!("gone/{index}") },
            Behavior::Floods => {
                /// More than half of the offsets reserved at a time.
                const EVENTS: usize = 33_000;
                Kind::Upload((0..EVENTS).map(|_| self.event(format!("gone/{index}"), 0)).collect())
            }
        }
    }

    fn single(&mut self, topic: String, bytes_max: usize) -> Kind {
        Kind::Single { sent: self.event(topic, bytes_max), key: None, ends: false }
    }

    /// An event, mostly with little data, sometimes with much.
    fn event(&mut self, topic: String, bytes_max: usize) -> Sent {
        self.events += 1;
        let most = if self.rng.u8(..) < 64 { bytes_max } else { bytes_max / 20 };
        let padding = self.rng.usize(..=most);
        Sent { topic, data: format!("{}-{}{}", self.index, self.events, ".".repeat(padding)) }
    }

    fn note(&self, kind: Kind) -> usize {
        let op = Op { kind, requested: journal::length(&self.journal), acknowledged: None };
        let ops = &mut self.history.lock().publishers[self.index];
        ops.push(op);
        ops.len() - 1
    }

    fn last_unacknowledged(&self) -> Option<usize> {
        let history = self.history.lock();
        let ops = &history.publishers[self.index];
        let last = ops.last()?;
        last.acknowledged.is_none().then(|| ops.len() - 1)
    }

    /// Sends the request of an op. Returns `true` if there was a response.
    async fn request_op(&self, address: &str, at: usize) -> bool {
        let kind = self.history.lock().publishers[self.index][at].kind.clone();
        let Some(acknowledged) = send(address, &kind, &self.journal).await else { return false };
        self.history.lock().publishers[self.index][at].acknowledged = Some(acknowledged);
        true
    }
}

/// Sends a request. Returns `None` if there is no response, and panics on an error response.
pub async fn send(address: &str, kind: &Kind, journal: &std::path::Path) -> Option<Acknowledged> {
    let (head, body) = request(kind);
    let response = ask(address, &head, body.as_bytes()).await?;
    let at = journal::length(journal);
    if response.status == 503 && response.text().contains("\"draining\"") {
        return None;
    }
    assert!(matches!(response.status, 200 | 201 | 204), "{head}: {response:?}");
    if response.status == 204 {
        return Some(Acknowledged { at, ids: None });
    }
    let response = response.json();
    let id = |name: &str| response[name].as_str().map(|id| id.parse::<Cursor>().unwrap());
    let first = id("id").or_else(|| id("first_id")).expect("an id");
    Some(Acknowledged { at, ids: Some((first, id("last_id").unwrap_or(first))) })
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
