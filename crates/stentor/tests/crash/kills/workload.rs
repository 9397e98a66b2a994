//! Several publishers that work on one address.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::kills::connection::Response;
use crate::kills::publisher::Publisher;
use stentor_testing::judge::{Atomicity, Delete, EventKey, History, Outcome, SentEvent, Write};

/// Number of publishers.
const PUBLISHERS: u32 = 6;

/// Publishers at work, until they are stopped. They wait while the server is down.
pub struct Workload {
    shared: Arc<Shared>,
    publishers: JoinSet<()>,
}

/// State shared by the publishers.
pub struct Shared {
    history: Mutex<History>,
    /// The requests they are about to send, for kills at such moments.
    pub about_to: Moments,
    /// `true` to publish large events too.
    pub large: AtomicBool,
    pub paused: AtomicBool,
    stop: AtomicBool,
}

/// Each is notified just before the request is sent.
#[derive(Default)]
pub struct Moments {
    pub end: Notify,
    pub delete: Notify,
    pub batch: Notify,
    pub large: Notify,
}

impl Workload {
    pub fn start(address: &str, seed: u64, history: History) -> Workload {
        let shared = Arc::new(Shared {
            history: Mutex::new(history),
            about_to: Moments::default(),
            large: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let mut rng = Rng::with_seed(seed);
        let mut publishers = JoinSet::new();
        for number in 0..PUBLISHERS {
            let publisher = Publisher::new(number, address, rng.fork(), Arc::clone(&shared));
            publishers.spawn(publisher.run());
        }
        Workload { shared, publishers }
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Everything that was done so far.
    pub fn history(&self) -> History {
        self.shared.history.lock().unwrap().clone()
    }

    /// Lets every publisher finish its current request, with repeats until there is a response.
    pub async fn finish(&mut self) -> History {
        self.shared.stop.store(true, Ordering::Release);
        while let Some(publisher) = self.publishers.join_next().await {
            publisher.expect("a publisher does not fail");
        }
        self.history()
    }
}

impl Shared {
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Records a write that is about to be sent.
    pub fn begin(
        &self,
        atomicity: Atomicity,
        lines: &[(String, EventKey)],
        end: Option<(String, String)>,
    ) -> usize {
        let lines = lines.iter().map(|(topic, event_key)| SentEvent {
            topic: topic.clone(),
            event_key: *event_key,
            id: None,
        });
        let mut history = self.history.lock().unwrap();
        history.push(Write {
            atomicity,
            lines: lines.collect(),
            end,
            end_id: None,
            sent: Instant::now(),
            outcome: Outcome::Unknown,
        })
    }

    /// Records the response to a write.
    pub fn responded(&self, write: usize, answer: &Response) {
        let now = Instant::now();
        let mut history = self.history.lock().unwrap();
        let write = &mut history.writes[write];
        if !answer.is_success() {
            write.outcome = Outcome::Refused(now, answer.status);
            return;
        }
        write.outcome = Outcome::Acknowledged(now);
        let first = answer.text("id").or_else(|| answer.text("first_id"));
        let last = answer.text("last_id");
        match write.lines.first_mut() {
            Some(line) => line.id = first,
            None => write.end_id = first,
        }
        if let (Some(line), Some(id)) = (write.lines.last_mut(), last) {
            line.id = Some(id);
        }
    }

    /// Records a deletion that is about to be requested.
    pub fn begin_delete(&self, topic: &str) -> usize {
        let mut history = self.history.lock().unwrap();
        let deletes = history.deletes.entry(topic.to_owned()).or_default();
        deletes.push(Delete { sent: Instant::now(), acknowledged: None });
        deletes.len() - 1
    }

    pub fn deleted(&self, topic: &str, delete: usize) {
        let now = Instant::now();
        let mut history = self.history.lock().unwrap();
        history.deletes.get_mut(topic).unwrap()[delete].acknowledged = Some(now);
    }
}
