//! A server on a disk that can fail.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::shim::Shim;
use crate::harness::{EventStream, Request, Response, TIMEOUT};

/// A server with a directory that outlives it. It is killed when it is dropped.
pub struct TestServer {
    pub address: String,
    process: Child,
    stderr: Arc<Mutex<String>>,
    listening: JoinHandle<()>,
}

/// A server that did not start, with its stderr.
#[derive(Debug)]
pub struct StartFailed(pub String);

impl TestServer {
    /// Starts `stentor serve` with a log below the shim's directory.
    pub async fn with_shim(shim: &Shim, args: &[&str]) -> TestServer {
        TestServer::start(&shim.root(), args, &shim.environment()).await.expect("the server starts")
    }

    /// Starts `stentor serve` with the log in this directory.
    pub async fn open(directory: &Path, args: &[&str]) -> Result<TestServer, StartFailed> {
        TestServer::start(directory, args, &[]).await
    }

    async fn start(
        directory: &Path,
        args: &[&str],
        environment: &[(&'static str, PathBuf)],
    ) -> Result<TestServer, StartFailed> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_stentor"))
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(args)
            .current_dir(directory)
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let stderr = Arc::new(Mutex::new(String::new()));
        let address = timeout(TIMEOUT, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(rest) = line.strip_prefix("listening on http://") {
                    return rest.split(' ').next().map(str::to_owned);
                }
                *stderr.lock().unwrap() += &(line + "\n");
            }
            None
        });
        let Some(address) = address.await.expect("the server listens") else {
            return Err(StartFailed(stderr.lock().unwrap().clone()));
        };
        let listening = tokio::spawn({
            let stderr = Arc::clone(&stderr);
            async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    *stderr.lock().unwrap() += &(line + "\n");
                }
            }
        });
        Ok(TestServer { address, process, stderr, listening })
    }

    /// Stops it with SIGTERM. Returns its exit code.
    pub async fn stop(self) -> Option<i32> {
        self.terminate().await;
        self.end().await.0
    }

    /// Sends SIGTERM.
    pub async fn terminate(&self) {
        let pid = self.process.id().expect("the server runs").to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().await.unwrap().success());
    }

    /// Kills it.
    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Waits until it ends by itself. Returns its exit code (`None` if it was killed) and its stderr after the start.
    pub async fn end(mut self) -> (Option<i32>, String) {
        let status = timeout(TIMEOUT, self.process.wait()).await.expect("the server ends").unwrap();
        timeout(TIMEOUT, self.listening).await.expect("its stderr ends").unwrap();
        (status.code(), self.stderr.lock().unwrap().clone())
    }

    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(&self.address, method, path)
    }

    /// Publishes, and returns the response.
    pub async fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Response {
        self.request("POST", path).body(body).send().await
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request("GET", path).header("Accept", "application/json").send().await
    }

    /// The data of all events of a topic, oldest first.
    pub async fn history(&self, topic: &str) -> Vec<String> {
        let page = self.get(&format!("/topics/{topic}?limit=1000")).await;
        assert_eq!(page.status, 200, "{page:?}");
        let page = page.json();
        let events = page["events"].as_array().unwrap().iter();
        events.map(|event| event["data"].as_str().unwrap().to_owned()).collect()
    }

    pub async fn subscribe(&self, path: &str) -> EventStream {
        self.request("GET", path).header("Accept", "text/event-stream").open().await
    }
}

/// Sends a request. Returns `None` if no complete response arrives.
pub async fn ask(address: &str, head: &str, body: &[u8]) -> Option<Response> {
    let mut socket = TcpStream::connect(address).await.ok()?;
    let head = format!(
        "{head}\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(&[head.as_bytes(), body].concat()).await.ok()?;
    let mut bytes = Vec::new();
    timeout(TIMEOUT, socket.read_to_end(&mut bytes)).await.expect("the connection ends").ok()?;
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
    let response = Response::parse(&bytes);
    let length = response.header("content-length").map_or(0, |length| length.parse().unwrap());
    (bytes.len() - end - 4 == length).then_some(response)
}
