//! A server that is killed again and again.

use std::collections::VecDeque;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{sleep, timeout};

use crate::harness::TIMEOUT;

/// Lines of what it said that are shown when something is wrong.
const SAID_MAX: usize = 40;
/// Below the range from which the system picks ports: a client that tries to reach a port of that range
/// while nobody listens there may be given this very port, and then talks to itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

pub struct Victim {
    pub address: String,
    pub kills: usize,
    data: PathBuf,
    args: Vec<String>,
    /// How it writes streams from the next start on.
    pub streams: &'static [&'static str],
    process: Option<Child>,
    said: Arc<Mutex<VecDeque<String>>>,
}

impl Victim {
    /// A server that is not started yet, with its log in this directory.
    pub fn new(data: &Path, args: Vec<String>, rng: &mut Rng) -> Victim {
        let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = std::iter::repeat_with(|| rng.u16(PORTS)).take(100).find(free).expect("a port");
        Victim {
            address: format!("127.0.0.1:{port}"),
            kills: 0,
            data: data.to_owned(),
            args,
            streams: &[],
            process: None,
            said: Arc::default(),
        }
    }

    /// Starts it and waits until it listens.
    pub async fn start(&mut self) {
        let mut lines = self.spawn();
        self.until_it_listens(&mut lines).await;
        let said = Arc::clone(&self.said);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                note(&said, line);
            }
        });
    }

    /// Starts it and kills it so much later, wherever it is then.
    pub async fn start_and_kill(&mut self, after: Duration) {
        let lines = self.spawn();
        sleep(after).await;
        drop(lines);
        self.kill().await;
    }

    /// Starts it and kills it as soon as it listens.
    pub async fn start_and_kill_when_it_listens(&mut self) {
        let mut lines = self.spawn();
        self.until_it_listens(&mut lines).await;
        self.kill().await;
    }

    /// SIGKILL.
    ///
    /// # Panics
    /// If it has ended by itself before.
    pub async fn kill(&mut self) {
        let mut process = self.process.take().expect("it was started");
        if let Some(status) = process.try_wait().unwrap() {
            panic!("the server ended by itself ({status}):\n{}", self.said());
        }
        process.kill().await.unwrap();
        self.kills += 1;
    }

    /// What it said last.
    pub fn said(&self) -> String {
        let said = self.said.lock().unwrap();
        said.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    fn spawn(&mut self) -> Lines<BufReader<ChildStderr>> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_stentor"))
            .args(["serve", "--listen", &self.address, "--data"])
            .arg(&self.data)
            .args(&self.args)
            .args(self.streams)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        self.process = Some(process);
        lines
    }

    async fn until_it_listens(&self, lines: &mut Lines<BufReader<ChildStderr>>) {
        let listens = timeout(TIMEOUT, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.starts_with("listening on ") {
                    return;
                }
                note(&self.said, line);
            }
            panic!("the server ended before it listened:\n{}", self.said());
        });
        listens.await.expect("the server listens");
    }
}

/// # Panics
/// If the server has.
fn note(said: &Mutex<VecDeque<String>>, line: String) {
    assert!(!line.contains("panicked at"), "the server: {line}");
    let mut said = said.lock().unwrap();
    said.push_back(line);
    if said.len() > SAID_MAX {
        said.pop_front();
    }
}
