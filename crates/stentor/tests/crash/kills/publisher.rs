//! A publisher that uses every kind of publish request in turn, and records its history.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use tokio::time::sleep;

use crate::kills::connection::{Connection, Response};
use crate::kills::workload::Shared;
use stentor_testing::judge::{Atomicity, EventKey};

/// Number of shared topics that are never deleted.
const NEWS_TOPICS: usize = 5;
/// Number of shared topics that are deleted repeatedly.
const GONE_TOPICS: usize = 3;
/// Number of shared topics that are trimmed.
const TRIMMED_TOPICS: usize = 2;
/// Bytes of a large event. A few dozen of them cause a checkpoint.
const LARGE: usize = 200 << 10;
/// Number of large events between two deletions of their topic.
const LARGE_KEPT: u32 = 60;
/// Maximum pause between two writes, in milliseconds.
const PAUSE_MAX: u64 = 14;
/// Time before a broken connection is opened again.
const RETRY: Duration = Duration::from_millis(15);
/// Query that makes the ids of an uploaded stream the idempotency keys of its events.
const DEDUPE: &str = "?dedupe=id";

pub struct Publisher {
    number: u32,
    rng: Rng,
    shared: Arc<Shared>,
    connection: Connection,
    written: u64,
    job: Job,
    large: u32,
}

/// A topic of this publisher alone, which it ends.
#[derive(Default)]
struct Job {
    number: u32,
    events: u32,
}

/// A publish request.
struct Request {
    target: String,
    content_type: &'static str,
    key: Option<String>,
    body: String,
}

impl Publisher {
    pub fn new(number: u32, address: &str, rng: Rng, shared: Arc<Shared>) -> Publisher {
        let connection = Connection::new(address);
        Publisher { number, rng, shared, connection, written: 0, job: Job::default(), large: 0 }
    }

    /// Publishes until the workload stops.
    pub async fn run(mut self) {
        while !self.shared.is_stopping() {
            if self.shared.paused.load(Ordering::Relaxed) {
                sleep(RETRY).await;
                continue;
            }
            match self.rng.u32(0..100) {
                0..25 => self.single(false).await,
                25..40 => self.single(true).await,
                40..48 => self.upload(false).await,
                48..58 => self.upload(true).await,
                58..70 => self.batch().await,
                70..85 => self.continue_job().await,
                85..90 => self.large().await,
                _ => self.gone().await,
            }
            sleep(Duration::from_millis(self.rng.u64(0..=PAUSE_MAX))).await;
        }
    }

    fn event_key(&mut self) -> EventKey {
        self.written += 1;
        EventKey { publisher: self.number, number: self.written }
    }

    /// A topic that is never deleted; some are trimmed.
    fn news(&mut self) -> String {
        if self.rng.u8(0..6) == 0 {
            return format!("trim/{}", self.rng.usize(0..TRIMMED_TOPICS));
        }
        format!("news/{}", self.rng.usize(0..NEWS_TOPICS))
    }

    /// An idempotency key for this write alone.
    fn key(&self) -> String {
        format!("key-{}-{}", self.number, self.written)
    }

    async fn single(&mut self, keyed: bool) {
        let (topic, event_key) = (self.news(), self.event_key());
        let key = keyed.then(|| self.key());
        let body = event_key.data(self.rng.usize(0..80));
        let request =
            Request { target: format!("/topics/{topic}"), content_type: "text/plain", key, body };
        let write = self.shared.begin(Atomicity::Atomic, &[(topic, event_key)], None);
        self.publish(write, request).await;
    }

    /// An upload of several events. With a key, or with one in each event, the client may cut it, and repeats it.
    async fn upload(&mut self, keyed: bool) {
        let topic = self.news();
        let key = format!("upload-{}-{}", self.number, self.written);
        let by_id = keyed && self.rng.bool();
        let (mut lines, mut body) = (Vec::new(), String::new());
        for _ in 0..self.rng.usize(2..12) {
            let event_key = self.event_key();
            lines.push((topic.clone(), event_key));
            let data = event_key.data(self.rng.usize(0..40));
            let _ = if by_id {
                write!(body, "id: {event_key}\ndata: {data}\n\n")
            } else {
                writeln!(body, "{data}")
            };
        }
        let (content_type, query) =
            if by_id { ("text/event-stream", DEDUPE) } else { ("application/x-ndjson", "") };
        let target = format!("/topics/{topic}{query}");
        let key = Some(key).filter(|_| keyed && !by_id);
        let request = Request { target, content_type, key, body };
        let write = self.shared.begin(Atomicity::Prefix, &lines, None);
        self.publish(write, request).await;
    }

    /// A batch over several topics, some of which may be deleted meanwhile.
    async fn batch(&mut self) {
        let (mut lines, mut items) = (Vec::new(), Vec::new());
        for _ in 0..self.rng.usize(2..7) {
            let topic = if self.rng.u8(0..8) == 0 { self.gone_topic() } else { self.news() };
            let event_key = self.event_key();
            items.push(json!({ "topic": topic, "data": event_key.data(self.rng.usize(0..40)) }));
            lines.push((topic, event_key));
        }
        let key = self.rng.bool().then(|| self.key());
        let body = json!(items).to_string();
        let request =
            Request { target: "/topics".to_owned(), content_type: "application/json", key, body };
        let write = self.shared.begin(Atomicity::Atomic, &lines, None);
        self.shared.about_to.batch.notify_waiters();
        self.publish(write, request).await;
    }

    /// Publishes the next event of the job, or its last one. After the last, the job is deleted or a new one starts.
    async fn continue_job(&mut self) {
        let topic = format!("job/{}/{}", self.number, self.job.number);
        self.job.events += 1;
        let is_last = self.rng.u32(2..9) < self.job.events;
        let event_key = self.event_key();
        let reason = format!("done-{event_key}");
        let end = is_last.then(|| (topic.clone(), reason.clone()));
        let is_alone = is_last && self.rng.u8(0..4) == 0;
        let query = if is_last { format!("?end={reason}") } else { String::new() };
        let key = self.rng.bool().then(|| self.key());
        let body = if is_alone { String::new() } else { event_key.data(self.rng.usize(0..40)) };
        let target = format!("/topics/{topic}{query}");
        let request = Request { target, content_type: "text/plain", key, body };
        let lines = [(topic.clone(), event_key)];
        let write = self.shared.begin(Atomicity::Atomic, if is_alone { &[] } else { &lines }, end);
        if !is_last {
            self.publish(write, request).await;
            return;
        }
        self.shared.about_to.end.notify_waiters();
        let is_acknowledged = self.publish(write, request).await;
        self.after_job(&topic, is_acknowledged).await;
    }

    async fn after_job(&mut self, topic: &str, has_ended: bool) {
        self.job.events = 0;
        match self.rng.u8(0..4) {
            // An event after the end must be refused.
            0 if has_ended => {
                let event_key = self.event_key();
                let body = event_key.data(0);
                let target = format!("/topics/{topic}");
                let request = Request { target, content_type: "text/plain", key: None, body };
                let write =
                    self.shared.begin(Atomicity::Atomic, &[(topic.to_owned(), event_key)], None);
                self.publish(write, request).await;
                self.job.number += 1;
            }
            // The name is used again by a new topic.
            1 => {
                self.delete(topic).await;
                self.job.number += u32::from(self.shared.is_stopping() || self.rng.bool());
            }
            _ => self.job.number += 1,
        }
    }

    fn gone_topic(&mut self) -> String {
        format!("gone/{}", self.rng.usize(0..GONE_TOPICS))
    }

    /// Publishes to a topic that is deleted repeatedly, or deletes it.
    async fn gone(&mut self) {
        let topic = self.gone_topic();
        if self.rng.u8(0..8) == 0 {
            self.delete(&topic).await;
            return;
        }
        let event_key = self.event_key();
        let body = event_key.data(self.rng.usize(0..80));
        let request = Request {
            target: format!("/topics/{topic}"),
            content_type: "text/plain",
            key: None,
            body,
        };
        let write = self.shared.begin(Atomicity::Atomic, &[(topic, event_key)], None);
        self.publish(write, request).await;
    }

    /// Publishes large events while they are enabled, to a topic that is deleted when it has many.
    async fn large(&mut self) {
        if !self.shared.large.load(Ordering::Relaxed) {
            return;
        }
        let topic = format!("large/{}", self.number);
        for _ in 0..8 {
            let event_key = self.event_key();
            let body = event_key.data(LARGE);
            let target = format!("/topics/{topic}");
            let request = Request { target, content_type: "text/plain", key: None, body };
            let write = self.shared.begin(Atomicity::Atomic, &[(topic.clone(), event_key)], None);
            self.shared.about_to.large.notify_waiters();
            self.publish(write, request).await;
            self.large += 1;
        }
        if self.large >= LARGE_KEPT {
            self.large = 0;
            self.delete(&topic).await;
        }
    }

    async fn delete(&mut self, topic: &str) {
        let delete = self.shared.begin_delete(topic);
        self.shared.about_to.delete.notify_waiters();
        let head = format!(
            "DELETE /topics/{topic} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.connection.address()
        );
        loop {
            match self.connection.call(head.as_bytes()).await {
                Ok(Response { status: 204, .. }) => return self.shared.deleted(topic, delete),
                Ok(response) => panic!("{response:?}"),
                Err(_) => {}
            }
            sleep(RETRY).await;
        }
    }

    /// Sends a request; with an idempotency key, until there is a response. Returns `true` if it was acknowledged.
    async fn publish(&mut self, write: usize, request: Request) -> bool {
        let bytes = request.bytes(self.connection.address());
        loop {
            let response = self.attempt(&bytes).await;
            let is_final = match &response {
                Some(response) => response.status != 503 || !request.has_key(),
                None => !request.has_key(),
            };
            if let (true, Some(response)) = (is_final, &response) {
                self.shared.responded(write, response);
            }
            if is_final {
                return response.is_some_and(|response| response.is_success());
            }
            sleep(RETRY).await;
        }
    }

    /// Sends a request at once or in pieces, and sometimes cuts the connection.
    async fn attempt(&mut self, bytes: &[u8]) -> Option<Response> {
        let cut = self.rng.usize(0..bytes.len());
        match self.rng.u8(0..20) {
            0 => {
                let _ = self.connection.send(&bytes[..cut]).await;
                self.connection.reset();
                None
            }
            1 => {
                let _ = self.connection.send(bytes).await;
                sleep(Duration::from_millis(self.rng.u64(0..4))).await;
                self.connection.reset();
                None
            }
            2 | 3 => {
                self.connection.send(&bytes[..cut]).await.ok()?;
                sleep(Duration::from_millis(self.rng.u64(0..10))).await;
                self.connection.call(&bytes[cut..]).await.ok()
            }
            _ => self.connection.call(bytes).await.ok(),
        }
    }
}

impl Request {
    /// Returns `true` if the request can be repeated without duplicates.
    fn has_key(&self) -> bool {
        self.key.is_some() || self.target.ends_with(DEDUPE)
    }

    fn bytes(&self, address: &str) -> Vec<u8> {
        let Request { target, content_type, key, body } = self;
        let mut head = format!(
            "POST {target} HTTP/1.1\r\nHost: {address}\r\nContent-Type: {content_type}\r\n"
        );
        if let Some(key) = key {
            let _ = write!(head, "Idempotency-Key: {key}\r\n");
        }
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }
}
