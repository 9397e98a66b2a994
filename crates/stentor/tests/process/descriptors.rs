//! File descriptors: the server frees those of dropped connections, and survives a lack of them.

use std::future::pending;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::{Server, TIMEOUT, TestClient, read_response};

const OPEN: &str = "stentor_connections_open";

/// Sets the limits of open files of a process: soft and hard, separated by a colon.
pub async fn limit_files(pid: u32, limits: &str) {
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

    // The server keeps descriptors in reserve, so only a limit that was lowered later can use all of them up.
    let limit = server.open_files();
    limit_files(server.pid(), &format!("{limit}:")).await;
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(TcpStream::connect(&server.address).await.unwrap());
    }

    // A server that retries the accept without a pause would use a whole core in this second.
    let before = ticks(server.pid());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = ticks(server.pid()) - before;
    assert!(used < 50, "{used} hundredths of a second of CPU time in one second of waiting");
    held.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(read_response(&mut held).await.status, 201, "open connections are still served");

    drop(crowd);
    limit_files(server.pid(), "1000:").await;
    server.publish("/topics/t", "again").await;
    let mut stream = server.subscribe("/topics/t?from=earliest").await;
    assert_eq!(stream.data(3).await, ["ok", "ok", "again"]);
}

/// A server with a limit of file descriptors, until it answers or ends.
#[derive(Debug, PartialEq, Eq)]
enum Start {
    /// It accepts connections, or tries to, with this number of cores.
    Serves(usize),
    Ends(Option<i32>),
}

/// Starts `stentor serve` with `cores` cores and at most `limit` open files.
async fn start_limited(cores: usize, limit: usize) -> Start {
    let mut process = Command::new("prlimit")
        .arg(format!("--nofile={limit}:{limit}"))
        .args([env!("CARGO_BIN_EXE_stentor"), "serve", "--memory", "--listen", "127.0.0.1:0"])
        .args(["--shards", &cores.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = process.id().unwrap();
    let mut stderr = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut client = None;
    let started = timeout(TIMEOUT, async {
        loop {
            tokio::select! {
                line = stderr.next_line() => match line.unwrap() {
                    None => return Start::Ends(process.wait().await.unwrap().code()),
                    Some(line) if line.contains("cannot accept connections") => {
                        return Start::Serves(cores_of(pid));
                    }
                    Some(line) => if let Some(address) = line.strip_prefix("listening on http://") {
                        let address = address.split(' ').next().unwrap().to_owned();
                        client = TcpStream::connect(address).await.ok();
                        if let Some(client) = &mut client {
                            let _ = client.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
                        }
                    },
                },
                byte = first_byte(client.as_mut()) => match byte {
                    Some(_) => return Start::Serves(cores_of(pid)),
                    // The rest of stderr tells why.
                    None => client = None,
                },
            }
        }
    });
    started.await.expect("a server that serves or ends, in time")
}

/// Reads the first byte of a response. Returns `None` if the connection is closed before it; never
/// returns if there is no connection.
async fn first_byte(client: Option<&mut TcpStream>) -> Option<u8> {
    match client {
        Some(client) => client.read_u8().await.ok(),
        None => pending().await,
    }
}

/// Returns `true` for the name of a serving thread, such as `stentor-0`.
fn is_core(name: &str) -> bool {
    name.strip_prefix("stentor-").is_some_and(|core| core.parse::<usize>().is_ok())
}

/// Returns the number of threads that serve.
fn cores_of(pid: u32) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let names = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|name| is_core(name.trim()))).count()
}

#[tokio::test]
async fn with_too_few_file_descriptors_all_cores_serve_or_the_server_ends_with_an_error() {
    const CORES: usize = 4;
    let (mut served, mut ended) = (0, 0);
    for limit in 4..64 {
        match start_limited(CORES, limit).await {
            Start::Serves(cores) => {
                assert_eq!(cores, CORES, "with at most {limit} open files");
                served += 1;
            }
            Start::Ends(code) => {
                assert!(code.is_some_and(|code| code != 0), "{code:?} at {limit} open files");
                ended += 1;
            }
        }
    }
    assert!(served > 0 && ended > 0, "{served} served and {ended} ended");
}

/// The address of a server process with at most 1,024 open files, and the process.
async fn start_in_storm(data: &std::path::Path, listen: &str) -> (Child, String) {
    let mut process = Command::new("prlimit")
        .arg("--nofile=1024:1024")
        .args([env!("CARGO_BIN_EXE_stentor"), "serve", "--shards", "64", "--listen", listen])
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(process.stderr.take().unwrap()).lines();
    let address = timeout(TIMEOUT, async {
        loop {
            let line = stderr.next_line().await.unwrap().expect("the server listens");
            if let Some(address) = line.strip_prefix("listening on http://") {
                return address.split(' ').next().unwrap().to_owned();
            }
        }
    });
    let address = address.await.expect("the server listens in time");
    tokio::spawn(async move { while let Ok(Some(_)) = stderr.next_line().await {} });
    (process, address)
}

/// Returns the metrics, or nothing if the server has no time for this client.
async fn metrics(address: &str) -> String {
    let mut text = String::new();
    if let Ok(mut socket) = TcpStream::connect(address).await {
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        let _ = socket.write_all(request.as_bytes()).await;
        let _ = timeout(Duration::from_secs(5), socket.read_to_string(&mut text)).await;
    }
    text
}

/// A reader that connects again and again, sooner than `retry:` asks for, until a stream stays open.
async fn retry_to_read(address: String) {
    let request = format!("GET /topics/t HTTP/1.1\r\nHost: {address}\r\n\r\n");
    loop {
        if let Ok(mut socket) = TcpStream::connect(&address).await {
            let mut rest = Vec::new();
            let _ = socket.write_all(request.as_bytes()).await;
            let _ = socket.read_to_end(&mut rest).await;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_server_comes_up_whole_while_more_readers_retry_than_it_has_descriptors() {
    const CORES: usize = 64;
    const READERS: usize = 1_500;
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let hard = line.split_whitespace().nth(4).unwrap();
    limit_files(std::process::id(), &format!("{hard}:{hard}")).await;

    let data = tempfile::tempdir().unwrap();
    let (process, address) = start_in_storm(data.path(), "127.0.0.1:0").await;
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        readers.spawn(retry_to_read(address.clone()));
    }
    let mut server = (process, address);
    for restart in [false, true] {
        if restart {
            server.0.kill().await.unwrap();
            server = start_in_storm(data.path(), &server.1).await;
        }
        let whole = timeout(TIMEOUT, async {
            let count = |text: &str, name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
                line.and_then(|value| value.parse::<usize>().ok())
            };
            loop {
                let text = metrics(&server.1).await;
                let (open, max) =
                    (count(&text, "stentor_streams_open"), count(&text, "stentor_connections_max"));
                if let (Some(open), Some(max)) = (open, max)
                    && open + 16 > max
                {
                    return max;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let connections = whole.await.expect("all connections in use, in time");
        assert!((300..1_000).contains(&connections), "{connections} connections");
        assert_eq!(server.0.try_wait().unwrap(), None, "the server runs");
        assert_eq!(cores_of(server.0.id().unwrap()), CORES);
    }
    readers.shutdown().await;
    TestClient::new(server.1).publish("/topics/t", "served").await;
}
