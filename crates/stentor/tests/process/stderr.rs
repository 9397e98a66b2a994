//! A server whose stderr cannot be written goes on serving, and counts the lines of its log that it dropped.

use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::harness::{TIMEOUT, TestClient, read_response};

const DROPPED: &str = "stentor_log_lines_dropped_total";

struct LoggingServer {
    process: Child,
    client: TestClient,
    _data: TempDir,
}

impl LoggingServer {
    /// Runs `stentor serve -v` with this stderr.
    async fn start(stderr: Stdio) -> LoggingServer {
        let data = tempfile::tempdir().unwrap();
        // The address cannot be read from stderr, so it is chosen here.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_stentor"))
            .args(["serve", "-v", "--listen", &free.to_string(), "--data"])
            .arg(data.path())
            .stdin(Stdio::null())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let server =
            LoggingServer { process, client: TestClient::new(free.to_string()), _data: data };
        let listens = timeout(TIMEOUT, async {
            while TcpStream::connect(&server.client.address).await.is_err() {
                tokio::task::yield_now().await;
            }
        });
        listens.await.expect("the server listens in time");
        server
    }

    /// Publishes over one connection. The server logs each request.
    async fn publish(&self, events: usize) {
        let address = &self.client.address;
        let request =
            format!("POST /topics/t HTTP/1.1\r\nHost: {address}\r\nContent-Length: 1\r\n\r\nx");
        let mut socket = TcpStream::connect(address).await.unwrap();
        for _ in 0..events {
            socket.write_all(request.as_bytes()).await.unwrap();
            assert_eq!(read_response(&mut socket).await.status, 201);
        }
    }

    /// Waits until at least `lines` lines were dropped.
    async fn until_dropped(&self, lines: u64) {
        let dropped = timeout(TIMEOUT, async {
            loop {
                let metrics = self.client.get("/metrics").send().await.text();
                let line = metrics.lines().find_map(|line| line.strip_prefix(DROPPED));
                if line.unwrap().trim().parse::<u64>().unwrap() >= lines {
                    return;
                }
            }
        });
        dropped.await.expect("dropped lines are counted");
    }

    /// Stops the server and asserts that it ends properly.
    async fn stop(mut self) {
        let pid = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().await.unwrap().success());
        let status = timeout(TIMEOUT, self.process.wait()).await.expect("an end in time").unwrap();
        assert_eq!((status.code(), status.signal()), (Some(0), None));
    }
}

#[tokio::test]
async fn a_server_whose_log_is_on_a_full_disk_serves_and_ends_properly() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let server = LoggingServer::start(full.into()).await;
    server.publish(20).await;
    server.until_dropped(20).await;
    assert_eq!(server.client.history("/topics/t").await.len(), 20);
    server.stop().await;
}

#[tokio::test]
async fn a_server_whose_reader_of_stderr_is_gone_serves_and_ends_properly() {
    let mut server = LoggingServer::start(Stdio::piped()).await;
    drop(server.process.stderr.take());
    server.publish(20).await;
    server.until_dropped(20).await;
    server.stop().await;
}

#[tokio::test]
async fn a_server_whose_stderr_is_a_full_pipe_serves_and_ends_properly() {
    let mut server = LoggingServer::start(Stdio::piped()).await;
    let stderr = server.process.stderr.take().unwrap();
    // More lines than the pipe and the queue hold.
    server.publish(4_000).await;
    server.until_dropped(1).await;
    assert!(server.client.get("/health/ready").send().await.status == 200);
    server.stop().await;
    drop(stderr);
}

#[tokio::test]
async fn lines_that_were_dropped_are_reported_when_the_pipe_is_read_again() {
    let mut server = LoggingServer::start(Stdio::piped()).await;
    let stderr = server.process.stderr.take().unwrap();
    server.publish(4_000).await;
    server.until_dropped(1).await;
    let mut lines = BufReader::new(stderr).lines();
    let reported = timeout(TIMEOUT, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.ends_with("log lines were dropped") {
                return;
            }
        }
        panic!("the server ended");
    });
    reported.await.expect("a report in time");
    drop(lines);
    server.stop().await;
}

#[tokio::test]
async fn the_last_words_of_a_server_are_written_before_it_ends() {
    let output = Command::new(env!("CARGO_BIN_EXE_stentor"))
        .args(["serve", "--memory", "--listen", "192.0.2.1:0", "--open"])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && stderr.contains("cannot listen on"), "{stderr}");
}
