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

/// A server in a directory that outlives it. It is killed when it is dropped.
pub struct Machine {
    pub address: String,
    process: Child,
    said: Arc<Mutex<String>>,
    listening: JoinHandle<()>,
}

/// A server that did not come up: what it said.
#[derive(Debug)]
pub struct Refused(pub String);

impl Machine {
    /// Starts `stentor serve` on a log below the shim's directory.
    pub async fn under(shim: &Shim, args: &[&str]) -> Machine {
        Machine::start(&shim.root(), args, &shim.environment()).await.expect("it starts")
    }

    /// Starts `stentor serve` on the log of this directory as it is.
    pub async fn on(directory: &Path, args: &[&str]) -> Result<Machine, Refused> {
        Machine::start(directory, args, &[]).await
    }

    async fn start(
        directory: &Path,
        args: &[&str],
        environment: &[(&'static str, PathBuf)],
    ) -> Result<Machine, Refused> {
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
        let said = Arc::new(Mutex::new(String::new()));
        let address = timeout(TIMEOUT, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(rest) = line.strip_prefix("listening on http://") {
                    return rest.split(' ').next().map(str::to_owned);
                }
                *said.lock().unwrap() += &(line + "\n");
            }
            None
        });
        let Some(address) = address.await.expect("the server listens") else {
            return Err(Refused(said.lock().unwrap().clone()));
        };
        let listening = tokio::spawn({
            let said = Arc::clone(&said);
            async move {
                while let Ok(Some(line)) = lines.next_line().await {
                    *said.lock().unwrap() += &(line + "\n");
                }
            }
        });
        Ok(Machine { address, process, said, listening })
    }

    /// Asks it to stop (SIGTERM), and tells its exit code.
    pub async fn stop(self) -> Option<i32> {
        self.ask_to_stop().await;
        self.end().await.0
    }

    /// SIGTERM.
    pub async fn ask_to_stop(&self) {
        let pid = self.process.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().await.unwrap().success());
    }

    /// Kills it.
    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Waits until it has ended by itself, and tells its exit code (`None` if it was killed) and what it
    /// said after it had begun to listen.
    pub async fn end(mut self) -> (Option<i32>, String) {
        let status = timeout(TIMEOUT, self.process.wait()).await.expect("it ends").unwrap();
        timeout(TIMEOUT, self.listening).await.expect("its output ends").unwrap();
        (status.code(), self.said.lock().unwrap().clone())
    }

    pub fn request(&self, method: &str, path: &str) -> Request {
        Request::new(&self.address, method, path)
    }

    /// Publishes and gives the answer.
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

/// A request of whose answer nothing is known: `None` if it did not come, or not whole.
pub async fn ask(address: &str, head: &str, body: &[u8]) -> Option<Response> {
    let mut socket = TcpStream::connect(address).await.ok()?;
    let head = format!(
        "{head}\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(&[head.as_bytes(), body].concat()).await.ok()?;
    let mut bytes = Vec::new();
    timeout(TIMEOUT, socket.read_to_end(&mut bytes)).await.expect("an answer or none").ok()?;
    let end = bytes.windows(4).position(|end| end == b"\r\n\r\n")?;
    let answer = Response::parse(&bytes);
    let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
    (bytes.len() - end - 4 == length).then_some(answer)
}
