//! A server process that is killed repeatedly.

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

/// Number of stderr lines that are shown on a failure.
const STDERR_LINES_MAX: usize = 40;
/// Outside the range of ephemeral ports. A client that connects to an unused ephemeral port may get that port as its
/// own source port, and then connects to itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

pub struct ServerProcess {
    pub address: String,
    pub kills: usize,
    data: PathBuf,
    args: Vec<String>,
    /// How it writes streams from the next start on.
    pub streams: &'static [&'static str],
    process: Option<Child>,
    stderr: Arc<Mutex<VecDeque<String>>>,
}

impl ServerProcess {
    /// A server that is not started yet, with its log in the directory `data`.
    pub fn new(data: &Path, args: Vec<String>, rng: &mut Rng) -> ServerProcess {
        let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = std::iter::repeat_with(|| rng.u16(PORTS)).take(100).find(free).expect("a port");
        ServerProcess {
            address: format!("127.0.0.1:{port}"),
            kills: 0,
            data: data.to_owned(),
            args,
            streams: &[],
            process: None,
            stderr: Arc::default(),
        }
    }

    /// Starts it and waits until it listens.
    pub async fn start(&mut self) {
        let mut lines = self.spawn();
        self.until_it_listens(&mut lines).await;
        let stderr = Arc::clone(&self.stderr);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                keep_line(&stderr, line);
            }
        });
    }

    /// Starts it and kills it after this time, which may be in the middle of its start.
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

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    ///
    /// If it has ended by itself before.
    pub async fn kill(&mut self) {
        let mut process = self.process.take().expect("it was started");
        if let Some(status) = process.try_wait().unwrap() {
            panic!("the server ended by itself ({status}):\n{}", self.stderr());
        }
        process.kill().await.unwrap();
        self.kills += 1;
    }

    /// The newest lines of its stderr.
    pub fn stderr(&self) -> String {
        let stderr = self.stderr.lock().unwrap();
        stderr.iter().cloned().collect::<Vec<_>>().join("\n")
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
                keep_line(&self.stderr, line);
            }
            panic!("the server ended before it listened:\n{}", self.stderr());
        });
        listens.await.expect("the server listens");
    }
}

/// Keeps a line of stderr.
///
/// # Panics
///
/// If the line says that the server has panicked.
fn keep_line(stderr: &Mutex<VecDeque<String>>, line: String) {
    assert!(!line.contains("panicked at"), "the server: {line}");
    let mut stderr = stderr.lock().unwrap();
    stderr.push_back(line);
    if stderr.len() > STDERR_LINES_MAX {
        stderr.pop_front();
    }
}
