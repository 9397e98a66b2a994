//! Drives the real binary over real sockets.

#![allow(dead_code, unused_imports, reason = "each test program uses its own part")]

mod command;
mod http;
mod stream;
mod streams;
mod upload;
mod wire;

use std::fmt::{Display, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

pub use self::command::{Call, Done, Running, stentor};
pub use self::http::{Answer, Request, dechunk, raw};
pub use self::stream::{Cut, EventStream, Received};
pub use self::streams::Streams;
pub use self::upload::{Upload, read_answer, read_head};
pub use self::wire::{Wire, get, post};

/// How long anything may take before a test gives up. Far longer than it ever takes.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A server of its own for a test: a real process on a free port with a directory of its own. It is
/// killed when it is dropped.
pub struct Server {
    pub address: String,
    /// What it said before it listened.
    pub said: String,
    args: Vec<String>,
    process: Child,
    directory: TempDir,
}

impl Server {
    /// `stentor serve` with its log on disk.
    pub async fn start() -> Server {
        Server::with(&["serve"]).await
    }

    /// `stentor serve --memory`.
    pub async fn in_memory() -> Server {
        Server::with(&["serve", "--memory"]).await
    }

    /// `stentor` with these arguments and a free port, in an empty directory.
    pub async fn with(args: &[&str]) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let started = spawn(&args, directory.path(), "127.0.0.1:0").await;
        let Started { process, address, said } = started;
        Server { address, said, args, process, directory }
    }

    /// The directory in which it runs.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn pid(&self) -> u32 {
        self.process.id().expect("the server runs")
    }

    /// An absolute URL.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Kills it at once (SIGKILL) and starts it again on the same address and directory.
    pub async fn kill_and_restart(&mut self) {
        self.process.kill().await.unwrap();
        self.start_again().await;
    }

    /// Asks it to stop (SIGTERM), waits until it has, and tells its exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        self.signal("TERM").await;
        self.exit_code().await
    }

    /// Waits until it has ended, and tells its exit code; `None` if a signal killed it.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let status = timeout(PATIENCE, self.process.wait()).await.expect("it stops").unwrap();
        status.code()
    }

    /// Starts it again after [`Server::stop`].
    pub async fn start_again(&mut self) {
        let address = self.address.clone();
        let started = spawn(&self.args, self.directory.path(), &address).await;
        (self.process, self.said) = (started.process, started.said);
    }

    /// Sends a signal by name.
    pub async fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    pub fn get(&self, path: &str) -> Request {
        Request::new(&self.address, "GET", path)
    }

    pub fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Request {
        Request::new(&self.address, "POST", path).body(body)
    }

    pub fn delete(&self, path: &str) -> Request {
        Request::new(&self.address, "DELETE", path)
    }

    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(&self.address, method, path)
    }

    /// Publishes and gives the id.
    pub async fn publish(&self, path: &str, body: impl Into<Vec<u8>>) -> String {
        let answer = self.post(path, body).send().await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Begins to publish a body of this type that comes piece by piece.
    pub async fn upload(&self, path: &str, content_type: &str) -> Upload {
        self.request("POST", path).header("Content-Type", content_type).upload().await
    }

    /// Publishes these one after the other in one upload, and gives the last id.
    pub async fn publish_each(
        &self,
        path: &str,
        data: impl IntoIterator<Item = impl Display>,
    ) -> String {
        let mut body = String::new();
        for line in data {
            let _ = writeln!(body, "{line}");
        }
        let post = self.post(path, body).header("Content-Type", "application/x-ndjson");
        let answer = post.send().await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["last_id"].as_str().unwrap().to_owned()
    }

    /// A page of history, whole.
    pub async fn page(&self, path: &str) -> Value {
        let page = self.get(path).header("Accept", "application/json").send().await;
        assert_eq!(page.status, 200, "{page:?}");
        assert_eq!(page.header("content-type"), Some("application/json"));
        page.json()
    }

    /// The events of a page of history.
    pub async fn history(&self, path: &str) -> Vec<Value> {
        let page = self.get(path).header("Accept", "application/json").send().await;
        assert_eq!(page.status, 200, "{page:?}");
        page.json()["events"].as_array().unwrap().clone()
    }

    /// The data of the events of a page of history.
    pub async fn history_data(&self, path: &str) -> Vec<String> {
        let events = self.history(path).await;
        events.iter().map(|event| event["data"].as_str().unwrap().to_owned()).collect()
    }

    /// Opens a stream of events, which must be answered 200.
    pub async fn subscribe(&self, path: &str) -> EventStream {
        self.get(path).header("Accept", "text/event-stream").open().await
    }

    /// Opens a stream behind a cursor.
    pub async fn resume(&self, path: &str, cursor: &str) -> EventStream {
        self.get(path).header("Last-Event-ID", cursor).open().await
    }

    /// How many file descriptors the server has open.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// The same once all its threads have opened what they need.
    pub async fn open_files_at_rest(&self) -> usize {
        let (mut last, mut same) = (0, 0);
        while same < 20 {
            self.metric("stentor_connections_open").await;
            let now = self.open_files();
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
        last
    }

    /// Waits until it has at most so many file descriptors open.
    pub async fn until_files(&self, most: usize) {
        let reached = timeout(PATIENCE, async {
            while self.open_files() > most {
                tokio::task::yield_now().await;
            }
        });
        assert!(reached.await.is_ok(), "{} files are open and not {most}", self.open_files());
    }

    /// Its anonymous memory, in bytes.
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    }

    /// A number of its `/metrics`.
    pub async fn metric(&self, name: &str) -> i64 {
        let text = self.get("/metrics").send().await.text();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{name} in {text}"))
    }

    /// Waits until a number of its `/metrics` is this one.
    pub async fn until_metric(&self, name: &str, wanted: i64) {
        let reached = timeout(PATIENCE, async {
            while self.metric(name).await != wanted {
                tokio::task::yield_now().await;
            }
        });
        let reached = reached.await.is_ok();
        assert!(reached, "{name} is {} and not {wanted}", self.metric(name).await);
    }

    /// Waits until a number of its `/metrics` stands still, as it does when the server has come as far
    /// as it can. A test may not rely on more than that it has had the time.
    pub async fn until_still(&self, name: &str) {
        let (mut last, mut same) = (self.metric(name).await, 0);
        while same < 10 {
            let now = self.metric(name).await;
            same = if now == last { same + 1 } else { 0 };
            last = now;
        }
    }
}

/// A process that listens.
struct Started {
    process: Child,
    address: String,
    said: String,
}

/// Starts the binary and waits for the line that names its address.
async fn spawn(args: &[String], directory: &Path, listen: &str) -> Started {
    let mut process = Command::new(env!("CARGO_BIN_EXE_stentor"))
        .args(args)
        .args(["--listen", listen])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut said = String::new();
    let address = timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(address) = line.strip_prefix("listening on http://") {
                return address.to_owned();
            }
            eprintln!("server: {line}");
            said += &(line + "\n");
        }
        panic!("the server ended before it listened");
    });
    let address = address.await.expect("the server listens");
    // What it says later belongs to the output of the test.
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            eprintln!("server: {line}");
        }
    });
    Started { process, address, said }
}
