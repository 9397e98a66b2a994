//! Several publishers at work on one address.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::kills::connection::Answer;
use crate::kills::ledger::{Delete, Ledger, Line, Outcome, Token, Way, Write};
use crate::kills::publisher::Publisher;

/// How many publishers there are.
const PUBLISHERS: u32 = 6;

/// Publishers at work, until told to stop. A server that is gone is waited for.
pub struct Workload {
    desk: Arc<Desk>,
    publishers: JoinSet<()>,
}

/// What publishers share.
pub struct Desk {
    ledger: Mutex<Ledger>,
    /// What they are about to do, for whoever wants to strike in that moment.
    pub about_to: Moments,
    /// Whether they are to write large events.
    pub large: AtomicBool,
    pub paused: AtomicBool,
    stop: AtomicBool,
}

/// Told each time, just before the request is sent.
#[derive(Default)]
pub struct Moments {
    pub end: Notify,
    pub delete: Notify,
    pub batch: Notify,
    pub large: Notify,
}

impl Workload {
    pub fn start(address: &str, seed: u64, ledger: Ledger) -> Workload {
        let desk = Arc::new(Desk {
            ledger: Mutex::new(ledger),
            about_to: Moments::default(),
            large: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let mut rng = Rng::with_seed(seed);
        let mut publishers = JoinSet::new();
        for number in 0..PUBLISHERS {
            let publisher = Publisher::new(number, address, rng.fork(), Arc::clone(&desk));
            publishers.spawn(publisher.run());
        }
        Workload { desk, publishers }
    }

    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// All that was done so far.
    pub fn ledger(&self) -> Ledger {
        self.desk.ledger.lock().unwrap().clone()
    }

    /// Lets every publisher finish what it has begun, repeats until the answer included.
    pub async fn finish(&mut self) -> Ledger {
        self.desk.stop.store(true, Ordering::Release);
        while let Some(publisher) = self.publishers.join_next().await {
            publisher.expect("a publisher does not fail");
        }
        self.ledger()
    }
}

impl Desk {
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Notes a write that is about to be sent.
    pub fn begin(
        &self,
        way: Way,
        lines: &[(String, Token)],
        end: Option<(String, String)>,
    ) -> usize {
        let lines = lines.iter().map(|(topic, token)| Line {
            topic: topic.clone(),
            token: *token,
            id: None,
        });
        let mut ledger = self.ledger.lock().unwrap();
        ledger.push(Write {
            way,
            lines: lines.collect(),
            end,
            end_id: None,
            sent: Instant::now(),
            outcome: Outcome::Unknown,
        })
    }

    /// Notes the answer to a write.
    pub fn answered(&self, write: usize, answer: &Answer) {
        let now = Instant::now();
        let mut ledger = self.ledger.lock().unwrap();
        let write = &mut ledger.writes[write];
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

    /// Notes a deletion that is about to be asked for.
    pub fn begin_delete(&self, topic: &str) -> usize {
        let mut ledger = self.ledger.lock().unwrap();
        let deletes = ledger.deletes.entry(topic.to_owned()).or_default();
        deletes.push(Delete { sent: Instant::now(), acknowledged: None });
        deletes.len() - 1
    }

    pub fn deleted(&self, topic: &str, delete: usize) {
        let now = Instant::now();
        let mut ledger = self.ledger.lock().unwrap();
        ledger.deletes.get_mut(topic).unwrap()[delete].acknowledged = Some(now);
    }
}
