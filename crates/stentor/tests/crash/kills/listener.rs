//! `stentor sub` as a reader: a process of its own, which can be stopped.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout_at};

use crate::kills::diary::{Diary, Seen, Told};
use crate::kills::log::{What, offset};
use crate::kills::verdict::{Facts, judge_diary};

/// What it listens to: topics that never end, for ends are not printed.
const FILTER: &str = "news/**";

pub struct Listener {
    process: Child,
    diary: Arc<Mutex<Diary>>,
    is_stopped: bool,
}

impl Listener {
    pub fn start(address: &str) -> Listener {
        let mut process = Command::new(env!("CARGO_BIN_EXE_stentor"))
            .args(["sub", FILTER, "--from", "earliest", "--format", "json", "--url"])
            .arg(format!("http://{address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let diary = Diary {
            name: "stentor sub".to_owned(),
            filters: vec![FILTER.to_owned()],
            began: Instant::now(),
            start: Some(0),
            seen: Vec::new(),
            is_finished: false,
            reconnects: 0,
        };
        let diary = Arc::new(Mutex::new(diary));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let notes = Arc::clone(&diary);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let object: Value = serde_json::from_str(&line).unwrap();
                let text = |name: &str| object[name].as_str().unwrap().to_owned();
                let what = Told::Record(What::of(&text("data")), Some(text("topic")));
                let id = text("id");
                let seen = Seen { offset: offset(&id), id, at: Instant::now(), what };
                let mut diary = notes.lock().unwrap();
                if diary.seen.is_empty() {
                    // It took its time to start, and what was trimmed before is no loss.
                    diary.began = seen.at;
                }
                diary.seen.push(seen);
            }
        });
        let mut said = BufReader::new(process.stderr.take().unwrap()).lines();
        let notes = Arc::clone(&diary);
        tokio::spawn(async move {
            while let Ok(Some(line)) = said.next_line().await {
                notes.lock().unwrap().seen.extend(gap(&line));
            }
        });
        Listener { process, diary, is_stopped: false }
    }

    /// Stops the process where it is, or lets it go on.
    pub async fn stop_or_go_on(&mut self) {
        let pid = self.process.id().expect("it runs").to_string();
        let signal = if self.is_stopped { "-CONT" } else { "-STOP" };
        let sent = Command::new("kill").args([signal, &pid]).status().await.unwrap();
        assert!(sent.success());
        self.is_stopped = !self.is_stopped;
    }

    /// Gives it the time until then to read all of the log, and to be told what it lost, and takes its diary.
    pub async fn finish(mut self, facts: &Facts<'_>, until: Instant) -> Diary {
        if self.is_stopped {
            self.stop_or_go_on().await;
        }
        let caught_up = timeout_at(until, async {
            while !judge_diary(facts, &self.diary.lock().unwrap()).is_empty() {
                sleep(Duration::from_millis(10)).await;
            }
        });
        // If it has not caught up it has lost something, and its diary shows it.
        let _ = caught_up.await;
        self.diary.lock().unwrap().clone()
    }
}

/// The gap that a line on stderr tells of, if it does. It does not say behind what, nor stand in a known order
/// with the events.
fn gap(line: &str) -> Option<Seen> {
    let (_, lost) = line.split_once("events were lost (")?;
    let (reason, topics) = lost.split_once("): ")?;
    let topics = topics.split("; ").next().unwrap_or_default();
    let what = Told::Gap {
        reason: reason.to_owned(),
        requested: None,
        topics: topics.split(", ").map(str::to_owned).collect(),
    };
    Some(Seen { id: String::new(), offset: 0, at: Instant::now(), what })
}
