//! A server that is a process.

use std::ops::Deref;
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{RestartableServer, StreamMode, TIMEOUT, TestClient};

/// A server process on a free port with its own temporary directory. Dropping it kills the process.
///
/// It dereferences to a [`TestClient`], which sends requests to it.
pub struct Server {
    client: TestClient,
    /// Output on stderr before the process listened.
    pub startup_stderr: String,
    args: Vec<String>,
    process: Child,
    directory: TempDir,
}

impl Deref for Server {
    type Target = TestClient;

    fn deref(&self) -> &TestClient {
        &self.client
    }
}

impl RestartableServer for Server {
    async fn restart(&mut self) {
        self.kill_and_restart().await;
    }
}

impl Server {
    /// Runs `stentor serve` with its log on disk.
    pub async fn start() -> Server {
        Server::with(&["serve"]).await
    }

    /// Runs `stentor serve --memory`.
    pub async fn in_memory() -> Server {
        Server::with(&["serve", "--memory"]).await
    }

    /// Runs `stentor serve` with its log on disk and this implementation of streams.
    pub async fn start_with(mode: StreamMode) -> Server {
        Server::serve(mode, &[]).await
    }

    /// Runs `stentor serve --memory` with this implementation of streams.
    pub async fn in_memory_with(mode: StreamMode) -> Server {
        Server::serve(mode, &["--memory"]).await
    }

    async fn serve(mode: StreamMode, options: &[&str]) -> Server {
        // Shown with a test that fails.
        eprintln!("streams: {mode:?}");
        let shards = mode.shards().map(|shards| shards.to_string());
        let mut args = vec!["serve"];
        args.extend(options);
        if let Some(shards) = &shards {
            args.extend(["--shards", shards]);
        }
        if !mode.has_takeover() {
            args.push("--no-takeover");
        }
        Server::with(&args).await
    }

    /// Runs `stentor` with these arguments and a free port, in an empty directory.
    pub async fn with(args: &[&str]) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let started = spawn(&args, directory.path(), "127.0.0.1:0").await;
        let Started { process, address, stderr } = started;
        let client = TestClient::new(address);
        Server { client, startup_stderr: stderr, args, process, directory }
    }

    /// Returns the working directory of the process.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the id of the process.
    pub fn pid(&self) -> u32 {
        self.process.id().expect("the server runs")
    }

    /// Kills the process (SIGKILL) and starts it again with the same address and directory.
    pub async fn kill_and_restart(&mut self) {
        self.process.kill().await.unwrap();
        self.start_again().await;
    }

    /// Stops the process (SIGTERM) and returns its exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        self.signal("TERM").await;
        self.exit_code().await
    }

    /// Waits for the end of the process and returns its exit code; `None` if a signal killed it.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let status =
            timeout(TIMEOUT, self.process.wait()).await.expect("the server ends in time").unwrap();
        status.code()
    }

    /// Starts the process again with the same address and directory, after [`Server::stop`].
    pub async fn start_again(&mut self) {
        let started = spawn(&self.args, self.directory.path(), &self.client.address).await;
        (self.process, self.startup_stderr) = (started.process, started.stderr);
    }

    /// Sends a signal by name, such as `TERM`.
    pub async fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Returns the number of open file descriptors of the process.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }

    /// Returns the number of open file descriptors once all threads have opened what they need.
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

    /// Waits until the process has at most `limit` open file descriptors.
    pub async fn until_open_files(&self, limit: usize) {
        let reached = timeout(TIMEOUT, async {
            while self.open_files() > limit {
                tokio::task::yield_now().await;
            }
        });
        assert!(reached.await.is_ok(), "{} files are open, limit {limit}", self.open_files());
    }

    /// Returns the anonymous resident memory of the process, in bytes.
    pub fn memory(&self) -> usize {
        self.status("RssAnon:")
    }

    /// Returns the largest resident memory that the process has had, in bytes.
    pub fn peak_memory(&self) -> usize {
        self.status("VmHWM:")
    }

    /// Returns a figure of the process's status that is in KiB, in bytes.
    fn status(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
    }
}

/// A process that listens.
struct Started {
    process: Child,
    address: String,
    stderr: String,
}

/// Runs the binary and waits for the line that states its address.
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
    let mut stderr = String::new();
    let address = timeout(TIMEOUT, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some(rest) = line.strip_prefix("listening on http://") {
                return rest.split(' ').next().unwrap_or_default().to_owned();
            }
            eprintln!("server: {line}");
            stderr += &(line + "\n");
        }
        panic!("the server ended before it listened");
    });
    let address = address.await.expect("the server listens in time");
    // Later lines go to the output of the test.
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            eprintln!("server: {line}");
        }
    });
    Started { process, address, stderr }
}
