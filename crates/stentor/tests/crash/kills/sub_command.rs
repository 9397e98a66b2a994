//! `stentor sub` as a reader: a separate process that can be stopped.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use stentor_testing::judge::{
    Content, Index, Observation, Observations, Received, check_reader, offset,
};

/// It subscribes only to topics that never end, because it does not print ends.
const FILTER: &str = "news/**";

pub struct SubCommand {
    process: Child,
    observations: Arc<Mutex<Observations>>,
    is_stopped: bool,
}

impl SubCommand {
    pub fn start(address: &str) -> SubCommand {
        let mut process = Command::new(env!("CARGO_BIN_EXE_stentor"))
            .args(["sub", FILTER, "--from", "earliest", "--format", "json", "--url"])
            .arg(format!("http://{address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let observations = Observations {
            name: "stentor sub".to_owned(),
            filters: vec![FILTER.to_owned()],
            began: Instant::now(),
            start: Some(0),
            seen: Vec::new(),
            finished: None,
            reconnects: 0,
        };
        let observations = Arc::new(Mutex::new(observations));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let notes = Arc::clone(&observations);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let object: Value = serde_json::from_str(&line).unwrap();
                let text = |name: &str| object[name].as_str().unwrap().to_owned();
                let what = Observation::Record(Content::of(&text("data")), Some(text("topic")));
                let id = text("id");
                let seen = Received { offset: offset(&id), id, at: Instant::now(), what };
                note(&notes, seen);
            }
        });
        let mut stderr = BufReader::new(process.stderr.take().unwrap()).lines();
        let notes = Arc::clone(&observations);
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                if let Some(seen) = gap(&line) {
                    note(&notes, seen);
                }
            }
        });
        SubCommand { process, observations, is_stopped: false }
    }

    /// Stops the process (SIGSTOP), or continues it.
    pub async fn toggle_stop(&mut self) {
        let pid = self.process.id().expect("it runs").to_string();
        let signal = if self.is_stopped { "-CONT" } else { "-STOP" };
        let sent = Command::new("kill").args([signal, &pid]).status().await.unwrap();
        assert!(sent.success());
        self.is_stopped = !self.is_stopped;
    }

    /// Continues the process if it is stopped.
    pub async fn resume(&mut self) {
        if self.is_stopped {
            self.toggle_stop().await;
        }
    }

    /// Returns `true` if it has read the whole log and got its gaps.
    pub fn has_caught_up(&self, index: &Index<'_>) -> bool {
        check_reader(index, &self.observations.lock().unwrap()).is_empty()
    }

    /// Ends it. Returns its observations.
    pub fn end(self) -> Observations {
        self.observations.lock().unwrap().clone()
    }
}

/// Notes an event or a gap. It does not print its position, so it begins with the first of them: what was trimmed
/// before its first connection is not lost to it.
fn note(observations: &Mutex<Observations>, seen: Received) {
    let mut observations = observations.lock().unwrap();
    if observations.seen.is_empty() {
        observations.began = seen.at;
    }
    observations.seen.push(seen);
}

/// Parses a line on stderr that reports a gap. The line has no cursor, and its order relative to the events is
/// unknown.
fn gap(line: &str) -> Option<Received> {
    let (_, lost) = line.split_once("events were lost (")?;
    let (reason, topics) = lost.split_once("): ")?;
    let topics = topics.split("; ").next().unwrap_or_default();
    let what = Observation::Gap {
        reason: reason.to_owned(),
        requested: None,
        topics: topics.split(", ").map(str::to_owned).collect(),
    };
    Some(Received { id: String::new(), offset: 0, at: Instant::now(), what })
}
