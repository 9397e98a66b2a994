//! File descriptors: the server frees those of dropped connections, and survives a lack of them.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Server, TIMEOUT, read_response};

const OPEN: &str = "stentor_connections_open";

/// Sets the limits of open files of a process: soft and hard, separated by a colon.
async fn limit_files(pid: u32, limits: &str) {
    let (pid, limits) = (format!("--pid={pid}"), format!("--nofile={limits}"));
    let done = Command::new("prlimit").args([pid, limits]).stdin(Stdio::null()).status().await;
    assert!(done.unwrap().success());
}

/// Raises the soft limit of open files of the test and of the server to the hard limit.
async fn allow_many_files(server: &Server) {
    for pid in [std::process::id(), server.pid()] {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let hard = line.split_whitespace().nth(4).unwrap();
        limit_files(pid, &format!("{hard}:{hard}")).await;
    }
}

#[tokio::test]
async fn ten_thousand_connections_that_are_dropped_leave_nothing_behind() {
    const REQUESTS: [&str; 5] = [
        "",
        "GET /top",
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /topics/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
        "GET /topics/t HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ];
    let server = Server::in_memory().await;
    server.until_metric(OPEN, 1).await;
    let before = server.open_files_at_rest().await;
    for _ in 0..40 {
        let mut slice = Vec::new();
        for (number, request) in REQUESTS.iter().cycle().take(250).enumerate() {
            let mut socket = TcpStream::connect(&server.address).await.unwrap();
            socket.write_all(request.as_bytes()).await.unwrap();
            if number % 2 == 0 {
                // Closes with a reset.
                socket.set_zero_linger().unwrap();
            }
            slice.push(socket);
        }
    }
    server.until_metric(OPEN, 1).await;
    server.until_metric("stentor_streams_open", 0).await;
    server.until_open_files(before + 16).await;
    assert_eq!(server.history("/topics/t").await.len(), 0);
}

#[tokio::test]
async fn two_thousand_readers_that_disconnect_are_freed() {
    let server = Server::in_memory().await;
    allow_many_files(&server).await;
    let before = server.open_files_at_rest().await;
    let mut readers = Vec::new();
    for number in 0..2_000 {
        let path = if number % 2 == 0 { "/topics/t" } else { "/events?topic=**" };
        readers.push(server.get(path).connect().await);
    }
    server.until_metric("stentor_streams_open", 2_000).await;
    server.publish("/topics/t", "for no reader").await;
    server.until_metric("stentor_delivered_events_total", 2_000).await;
    drop(readers);
    server.until_metric("stentor_streams_open", 0).await;
    server.until_metric(OPEN, 1).await;
    server.until_open_files(before + 16).await;
}

/// Returns the CPU time of a process, in hundredths of a second.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test]
async fn without_file_descriptors_accepting_pauses_and_continues_later() {
    let server = Server::start().await;
    let request = format!(
        "POST /topics/t HTTP/1.1\r\nHost: {}\r\nContent-Length: 2\r\n\r\nok",
        server.address
    );
    let mut held = TcpStream::connect(&server.address).await.unwrap();
    held.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(read_response(&mut held).await.status, 201);
    server.until_metric(OPEN, 2).await;

    let limit = server.open_files() + 8;
    limit_files(server.pid(), &format!("{limit}:{limit}")).await;
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(TcpStream::connect(&server.address).await.unwrap());
    }
    let full = timeout(TIMEOUT, async {
        while server.open_files() < limit {
            tokio::task::yield_now().await;
        }
    });
    full.await.expect("all file descriptors in use, in time");

    // A server that retries the accept without a pause would use a whole core in this second.
    let before = ticks(server.pid());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = ticks(server.pid()) - before;
    assert!(used < 50, "{used} hundredths of a second of CPU time in one second of waiting");
    held.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(read_response(&mut held).await.status, 201, "open connections are still served");

    drop(crowd);
    server.publish("/topics/t", "again").await;
    let mut stream = server.subscribe("/topics/t?from=earliest").await;
    assert_eq!(stream.data(3).await, ["ok", "ok", "again"]);
}
