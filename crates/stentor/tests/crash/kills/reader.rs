//! A reader that reconnects with its last event id, as a browser does, and records what it receives.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::kills::behavior::Behavior;
use crate::kills::stream::{Opened, Stream};
use stentor_testing::judge::{Index, LoggedRecord, Observations, Recorder, check_reader};

/// Maximum time before it reconnects, in milliseconds. A browser would wait for seconds.
const RECONNECT_MAX: u64 = 120;
/// Maximum time for which it does not read its socket, in milliseconds.
const STALL_MAX: u64 = 1_500;

pub struct Reader {
    recorder: Arc<Mutex<Recorder>>,
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
            finished: None,
            reconnects: 0,
        };
        let recorder = Arc::new(Mutex::new(Recorder::new(observations, behavior.form)));
        let is_quiet = Arc::new(AtomicBool::new(false));
        let reading = Reading {
            address: address.to_owned(),
            behavior,
            rng,
            recorder: Arc::clone(&recorder),
            is_quiet: Arc::clone(&is_quiet),
        };
        Reader { recorder, is_quiet, task: tokio::spawn(reading.run()) }
    }

    /// Ends its stalls and cuts.
    pub fn stop_disturbing(&self) {
        self.is_quiet.store(true, Ordering::Relaxed);
    }

    /// Returns `true` if it has read the whole log and got its gaps.
    pub fn has_caught_up(&self, index: &Index<'_>) -> bool {
        let last = {
            let observations = &self.recorder.lock().unwrap().observations;
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
        self.recorder.lock().unwrap().observations.clone()
    }

    fn lacks_nothing(&self, index: &Index<'_>) -> bool {
        check_reader(index, &self.recorder.lock().unwrap().observations).is_empty()
    }

    fn is_at(&self, offset: u64) -> bool {
        let observations = &self.recorder.lock().unwrap().observations;
        observations.start.is_some_and(|start| start >= offset)
            || observations.seen.iter().rev().take(50).any(|seen| seen.offset >= offset)
    }
}

/// The task of a reader.
struct Reading {
    address: String,
    behavior: Behavior,
    rng: Rng,
    recorder: Arc<Mutex<Recorder>>,
    is_quiet: Arc<AtomicBool>,
}

impl Reading {
    async fn run(mut self) {
        let (path, accept) = (self.behavior.path(), self.behavior.accept());
        loop {
            let transport = self.behavior.transport;
            let last_id = self.recorder.lock().unwrap().last_id().to_owned();
            let asked = Instant::now();
            match Stream::open(&self.address, &path, accept, &last_id, transport).await {
                Ok(Opened::Finished) => {
                    self.recorder.lock().unwrap().observations.finished = Some(asked);
                    return;
                }
                Ok(Opened::Stream(stream)) => {
                    self.recorder.lock().unwrap().connect();
                    self.read(stream).await;
                }
                Err(_) => {}
            }
            sleep(Duration::from_millis(self.rng.u64(1..=RECONNECT_MAX))).await;
        }
    }

    /// Reads until the stream ends or breaks.
    async fn read(&mut self, mut stream: Stream) {
        while let Ok(Some(piece)) = stream.piece().await {
            self.recorder.lock().unwrap().read(&piece);
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
}
