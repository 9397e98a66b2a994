//! The kinds of requests of a publisher.

use std::fmt::Write as _;

use bytes::Bytes;
use http::Method;
use serde_json::json;
use stentor_hub::PRODUCER_LOST;
use stentor_testing::judge::{Atomicity, Delete, EventKey, History};
use tokio::time::Instant;

use super::{HistoryEntry, Job, Publisher, Request, begin};
use crate::plan::SHARED_TOPICS;
use crate::request::Draft;

/// Query that makes the ids of an uploaded stream the idempotency keys of its events.
const DEDUPE: &str = "?dedupe=id";

impl Publisher {
    /// Makes the next request, of a random kind.
    pub(super) fn next_request(&mut self, history: &mut History) -> Request {
        match self.rng.u32(0..100) {
            0..25 => self.single(history, false),
            25..38 => self.single(history, true),
            38..46 => self.upload(history, false),
            46..56 => self.upload(history, true),
            56..66 => self.batch(history),
            66..80 => self.continue_job(history),
            80..88 => self.continue_work(history),
            _ => self.gone(history),
        }
    }

    fn event_key(&mut self) -> EventKey {
        self.written += 1;
        EventKey { publisher: self.number, number: self.written }
    }

    /// A topic that is never deleted; some are trimmed.
    fn news(&mut self) -> String {
        let prefix = if self.rng.u8(0..3) == 0 { "trim" } else { "news" };
        format!("{prefix}/{}", self.rng.usize(0..SHARED_TOPICS))
    }

    fn gone_topic(&mut self) -> String {
        format!("gone/{}", self.rng.usize(0..SHARED_TOPICS))
    }

    fn fill(&mut self) -> usize {
        match self.rng.u8(0..120) {
            0 => self.rng.usize(0..self.event_bytes_max),
            1..5 => self.rng.usize(0..3_000),
            _ => self.rng.usize(0..60),
        }
    }

    fn single(&mut self, history: &mut History, keyed: bool) -> Request {
        let (topic, event_key) = (self.news(), self.event_key());
        let body = event_key.data(self.fill());
        let draft = Draft::new(Method::POST, format!("/topics/{topic}"))
            .with("content-type", "text/plain")
            .body(body);
        let write = begin(history, Atomicity::Atomic, &[(topic, event_key)], None);
        self.keyed(draft, write, keyed)
    }

    /// Adds an idempotency key to a request if `keyed`.
    fn keyed(&self, draft: Draft, write: usize, keyed: bool) -> Request {
        let key = format!("key-{}-{}", self.number, self.written);
        let draft = if keyed { draft.with("idempotency-key", key) } else { draft };
        Request { draft, entry: HistoryEntry::Write(write), is_repeatable: keyed, lease: None }
    }

    /// An upload of several events. With a key, or with one in each event, it is repeated.
    fn upload(&mut self, history: &mut History, keyed: bool) -> Request {
        let topic = self.news();
        let by_id = keyed && self.rng.bool();
        let (mut lines, mut body) = (Vec::new(), String::new());
        for _ in 0..self.rng.usize(2..9) {
            let event_key = self.event_key();
            lines.push((topic.clone(), event_key));
            let data = event_key.data(self.fill());
            let _ = if by_id {
                write!(body, "id: {event_key}\ndata: {data}\n\n")
            } else {
                writeln!(body, "{data}")
            };
        }
        let (content_type, query) =
            if by_id { ("text/event-stream", DEDUPE) } else { ("application/x-ndjson", "") };
        let draft = Draft::new(Method::POST, format!("/topics/{topic}{query}"))
            .with("content-type", content_type)
            .body(body);
        let write = begin(history, Atomicity::Prefix, &lines, None);
        let request = self.keyed(draft, write, keyed && !by_id);
        Request { is_repeatable: keyed, ..request }
    }

    /// A batch over several topics, some of which may be deleted meanwhile.
    fn batch(&mut self, history: &mut History) -> Request {
        let (mut lines, mut items) = (Vec::new(), Vec::new());
        for _ in 0..self.rng.usize(2..7) {
            let topic = if self.rng.u8(0..8) == 0 { self.gone_topic() } else { self.news() };
            let event_key = self.event_key();
            items.push(json!({ "topic": topic, "data": event_key.data(self.fill()) }));
            lines.push((topic, event_key));
        }
        let draft = Draft::new(Method::POST, "/topics")
            .with("content-type", "application/json")
            .body(json!(items).to_string());
        let write = begin(history, Atomicity::Atomic, &lines, None);
        let keyed = self.rng.bool();
        self.keyed(draft, write, keyed)
    }

    /// Publishes the next event of a job, or its last one, which ends the topic. Later events are refused.
    fn continue_job(&mut self, history: &mut History) -> Request {
        if self.job.events > 9 {
            self.job = Job { number: self.job.number + 1, events: 0 };
        }
        let topic = format!("job/{}/{}", self.number, self.job.number);
        self.job.events += 1;
        let is_last = self.job.events > 9 || self.job.events > self.rng.u32(2..12);
        let event_key = self.event_key();
        let reason = format!("done-{event_key}");
        let is_alone = is_last && self.rng.u8(0..4) == 0;
        let query = if is_last { format!("?end={reason}") } else { String::new() };
        let body = if is_alone { String::new() } else { event_key.data(self.fill()) };
        let draft = Draft::new(Method::POST, format!("/topics/{topic}{query}"))
            .with("content-type", "text/plain")
            .body(body);
        let end = is_last.then(|| (topic.clone(), reason));
        let lines = [(topic.clone(), event_key)];
        let write = begin(history, Atomicity::Atomic, if is_alone { &[] } else { &lines }, end);
        if is_last {
            self.job.events = 10 - u32::from(self.rng.u8(0..4) == 0);
        }
        let keyed = self.rng.bool();
        self.keyed(draft, write, keyed)
    }

    /// Publishes to a topic with a lease. The server ends the topic when this publisher is silent.
    fn continue_work(&mut self, history: &mut History) -> Request {
        if self.work.events >= 4 {
            self.work = Job { number: self.work.number + 1, events: 0 };
        }
        let topic = format!("work/{}/{}", self.number, self.work.number);
        self.work.events += 1;
        if self.work.events == 1 {
            let end = Some((topic.clone(), PRODUCER_LOST.to_owned()));
            begin(history, Atomicity::Atomic, &[], end);
        }
        let event_key = self.event_key();
        let seconds = 3;
        let draft = Draft::new(Method::POST, format!("/topics/{topic}?lease={seconds}"))
            .with("content-type", "text/plain")
            .body(event_key.data(self.fill()));
        let write = begin(history, Atomicity::Atomic, &[(topic.clone(), event_key)], None);
        let keyed = self.rng.bool();
        Request { lease: Some((topic, seconds)), ..self.keyed(draft, write, keyed) }
    }

    /// Publishes to a topic that is deleted repeatedly, or deletes it.
    fn gone(&mut self, history: &mut History) -> Request {
        let topic = self.gone_topic();
        if self.rng.u8(0..5) == 0 {
            let deletes = history.deletes.entry(topic.clone()).or_default();
            deletes.push(Delete { sent: Instant::now(), acknowledged: None });
            let at = deletes.len() - 1;
            let draft = Draft::new(Method::DELETE, format!("/topics/{topic}"));
            let entry = HistoryEntry::Delete { topic, at };
            return Request { draft, entry, is_repeatable: true, lease: None };
        }
        let event_key = self.event_key();
        let draft = Draft::new(Method::POST, format!("/topics/{topic}"))
            .with("content-type", "text/plain")
            .body(event_key.data(self.fill()));
        let write = begin(history, Atomicity::Atomic, &[(topic, event_key)], None);
        self.keyed(draft, write, false)
    }
}

impl Draft {
    fn body(mut self, body: String) -> Draft {
        self.body = Bytes::from(body);
        self
    }
}
