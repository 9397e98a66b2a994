//! A publisher: writes in all ways there are, one after the other, and keeps the ledger.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use tokio::time::sleep;

use crate::kills::connection::{Answer, Connection};
use crate::kills::ledger::{Token, Way};
use crate::kills::workload::Desk;

/// How many shared topics are never deleted.
const NEWS_TOPICS: usize = 5;
/// How many shared topics are deleted again and again.
const GONE_TOPICS: usize = 3;
/// How many shared topics are trimmed.
const TRIMMED_TOPICS: usize = 2;
/// The size of a large event, such that a few dozen of them make a checkpoint.
const LARGE: usize = 200 << 10;
/// Large events between two deletions of their topic.
const LARGE_KEPT: u32 = 60;
/// The longest pause between two writes, in milliseconds.
const PAUSE_MAX: u64 = 14;
/// How long to wait before a broken connection is tried again.
const RETRY: Duration = Duration::from_millis(15);
/// Says that the ids of an uploaded stream are the keys of its events.
const DEDUPE: &str = "?dedupe=id";

pub struct Publisher {
    number: u32,
    rng: Rng,
    desk: Arc<Desk>,
    connection: Connection,
    written: u64,
    job: Job,
    large: u32,
}

/// A topic of this publisher alone, which comes to an end.
#[derive(Default)]
struct Job {
    number: u32,
    events: u32,
}

/// A request that publishes.
struct Request {
    target: String,
    content_type: &'static str,
    key: Option<String>,
    body: String,
}

impl Publisher {
    pub fn new(number: u32, address: &str, rng: Rng, desk: Arc<Desk>) -> Publisher {
        let connection = Connection::new(address);
        Publisher { number, rng, desk, connection, written: 0, job: Job::default(), large: 0 }
    }

    /// Writes until it is told to stop.
    pub async fn run(mut self) {
        while !self.desk.is_stopping() {
            if self.desk.paused.load(Ordering::Relaxed) {
                sleep(RETRY).await;
                continue;
            }
            match self.rng.u32(0..100) {
                0..25 => self.single(false).await,
                25..40 => self.single(true).await,
                40..48 => self.upload(false).await,
                48..58 => self.upload(true).await,
                58..70 => self.batch().await,
                70..85 => self.on_with_job().await,
                85..90 => self.large().await,
                _ => self.gone().await,
            }
            sleep(Duration::from_millis(self.rng.u64(0..=PAUSE_MAX))).await;
        }
    }

    fn token(&mut self) -> Token {
        self.written += 1;
        Token { publisher: self.number, number: self.written }
    }

    /// A topic that is never deleted; some are trimmed.
    fn news(&mut self) -> String {
        if self.rng.u8(0..6) == 0 {
            return format!("trim/{}", self.rng.usize(0..TRIMMED_TOPICS));
        }
        format!("news/{}", self.rng.usize(0..NEWS_TOPICS))
    }

    /// A key that is used for this write alone.
    fn key(&self) -> String {
        format!("key-{}-{}", self.number, self.written)
    }

    async fn single(&mut self, keyed: bool) {
        let (topic, token) = (self.news(), self.token());
        let key = keyed.then(|| self.key());
        let body = token.data(self.rng.usize(0..80));
        let request =
            Request { target: format!("/topics/{topic}"), content_type: "text/plain", key, body };
        let write = self.desk.begin(Way::Whole, &[(topic, token)], None);
        self.publish(write, request).await;
    }

    /// An upload of several events. Under a key, or with one in each event, it may be cut by us, and is
    /// repeated.
    async fn upload(&mut self, keyed: bool) {
        let topic = self.news();
        let key = format!("upload-{}-{}", self.number, self.written);
        let by_id = keyed && self.rng.bool();
        let (mut lines, mut body) = (Vec::new(), String::new());
        for _ in 0..self.rng.usize(2..12) {
            let token = self.token();
            lines.push((topic.clone(), token));
            let data = token.data(self.rng.usize(0..40));
            let _ = if by_id {
                write!(body, "id: {token}\ndata: {data}\n\n")
            } else {
                writeln!(body, "{data}")
            };
        }
        let (content_type, query) =
            if by_id { ("text/event-stream", DEDUPE) } else { ("application/x-ndjson", "") };
        let target = format!("/topics/{topic}{query}");
        let key = Some(key).filter(|_| keyed && !by_id);
        let request = Request { target, content_type, key, body };
        let write = self.desk.begin(Way::Upload, &lines, None);
        self.publish(write, request).await;
    }

    /// A batch over several topics, some of which may be deleted meanwhile.
    async fn batch(&mut self) {
        let (mut lines, mut items) = (Vec::new(), Vec::new());
        for _ in 0..self.rng.usize(2..7) {
            let topic = if self.rng.u8(0..8) == 0 { self.gone_topic() } else { self.news() };
            let token = self.token();
            items.push(json!({ "topic": topic, "data": token.data(self.rng.usize(0..40)) }));
            lines.push((topic, token));
        }
        let key = self.rng.bool().then(|| self.key());
        let body = json!(items).to_string();
        let request =
            Request { target: "/topics".to_owned(), content_type: "application/json", key, body };
        let write = self.desk.begin(Way::Whole, &lines, None);
        self.desk.about_to.batch.notify_waiters();
        self.publish(write, request).await;
    }

    /// The next event of the own job, or its last one, after which it is deleted or a new one begins.
    async fn on_with_job(&mut self) {
        let topic = format!("job/{}/{}", self.number, self.job.number);
        self.job.events += 1;
        let is_last = self.rng.u32(2..9) < self.job.events;
        let token = self.token();
        let reason = format!("done-{token}");
        let end = is_last.then(|| (topic.clone(), reason.clone()));
        let is_alone = is_last && self.rng.u8(0..4) == 0;
        let query = if is_last { format!("?end={reason}") } else { String::new() };
        let key = self.rng.bool().then(|| self.key());
        let body = if is_alone { String::new() } else { token.data(self.rng.usize(0..40)) };
        let target = format!("/topics/{topic}{query}");
        let request = Request { target, content_type: "text/plain", key, body };
        let lines = [(topic.clone(), token)];
        let write = self.desk.begin(Way::Whole, if is_alone { &[] } else { &lines }, end);
        if !is_last {
            self.publish(write, request).await;
            return;
        }
        self.desk.about_to.end.notify_waiters();
        let is_known = self.publish(write, request).await;
        self.after_job(&topic, is_known).await;
    }

    async fn after_job(&mut self, topic: &str, has_ended: bool) {
        self.job.events = 0;
        match self.rng.u8(0..4) {
            // Nothing may follow an end.
            0 if has_ended => {
                let token = self.token();
                let body = token.data(0);
                let target = format!("/topics/{topic}");
                let request = Request { target, content_type: "text/plain", key: None, body };
                let write = self.desk.begin(Way::Whole, &[(topic.to_owned(), token)], None);
                self.publish(write, request).await;
                self.job.number += 1;
            }
            // The same name is used again, by a new topic.
            1 => {
                self.delete(topic).await;
                self.job.number += u32::from(self.desk.is_stopping() || self.rng.bool());
            }
            _ => self.job.number += 1,
        }
    }

    fn gone_topic(&mut self) -> String {
        format!("gone/{}", self.rng.usize(0..GONE_TOPICS))
    }

    /// An event for a topic that is deleted again and again, or the deletion.
    async fn gone(&mut self) {
        let topic = self.gone_topic();
        if self.rng.u8(0..8) == 0 {
            self.delete(&topic).await;
            return;
        }
        let token = self.token();
        let body = token.data(self.rng.usize(0..80));
        let request = Request {
            target: format!("/topics/{topic}"),
            content_type: "text/plain",
            key: None,
            body,
        };
        let write = self.desk.begin(Way::Whole, &[(topic, token)], None);
        self.publish(write, request).await;
    }

    /// Large events, while these are asked for, in a topic that is deleted when it has many.
    async fn large(&mut self) {
        if !self.desk.large.load(Ordering::Relaxed) {
            return;
        }
        let topic = format!("large/{}", self.number);
        for _ in 0..8 {
            let token = self.token();
            let body = token.data(LARGE);
            let target = format!("/topics/{topic}");
            let request = Request { target, content_type: "text/plain", key: None, body };
            let write = self.desk.begin(Way::Whole, &[(topic.clone(), token)], None);
            self.desk.about_to.large.notify_waiters();
            self.publish(write, request).await;
            self.large += 1;
        }
        if self.large >= LARGE_KEPT {
            self.large = 0;
            self.delete(&topic).await;
        }
    }

    async fn delete(&mut self, topic: &str) {
        let delete = self.desk.begin_delete(topic);
        self.desk.about_to.delete.notify_waiters();
        let head = format!(
            "DELETE /topics/{topic} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.connection.address()
        );
        loop {
            match self.connection.call(head.as_bytes()).await {
                Ok(Answer { status: 204, .. }) => return self.desk.deleted(topic, delete),
                Ok(answer) => panic!("{answer:?}"),
                Err(_) => {}
            }
            sleep(RETRY).await;
        }
    }

    /// Sends a request, under a key until it is answered. Whether it was acknowledged.
    async fn publish(&mut self, write: usize, request: Request) -> bool {
        let bytes = request.bytes(self.connection.address());
        loop {
            let answer = self.attempt(&bytes).await;
            let is_final = match &answer {
                Some(answer) => answer.status != 503 || !request.has_key(),
                None => !request.has_key(),
            };
            if let (true, Some(answer)) = (is_final, &answer) {
                self.desk.answered(write, answer);
            }
            if is_final {
                return answer.is_some_and(|answer| answer.is_success());
            }
            sleep(RETRY).await;
        }
    }

    /// Sends a request at once or in pieces, and sometimes breaks the connection off.
    async fn attempt(&mut self, bytes: &[u8]) -> Option<Answer> {
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
    /// Whether a repeat of it is harmless.
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
