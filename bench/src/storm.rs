//! A reconnect storm: the time until all subscribers are live again after a restart of the server.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context as _, bail};
use stentor_load::process;
use tokio::time::Instant;

use crate::context::Context;
use crate::fill::fill;
use crate::machine::SERVER_CORE;
use crate::server::Server;
use crate::stats::{median, mib, thousands};
use crate::subscribers::{Progress, Subscribers};

/// Number of events that the subscribers miss.
const MISSED: u64 = 20;
/// Concurrent connects before the restart. Few, so that the kernel's queue does not overflow:
/// a connection that overflows it waits for a second.
const CONNECTING: usize = 500;
const TOPIC: &str = "storm";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of subscribers. Each needs a file descriptor here and one in the server.
    #[arg(long, default_value_t = 15_000)]
    readers: usize,

    /// Also measure this server, such as `target/release/broadcast`. Started as `FILE ADDRESS`; it must
    /// have the paths `/sub/NAME` and `/pub/NAME`.
    #[arg(long, value_name = "FILE")]
    axum: Option<PathBuf>,
}

/// Result of one storm.
struct Storm {
    connected: Duration,
    caught_up: Duration,
    live: Duration,
    /// Peak memory of the server in bytes.
    memory: u64,
    /// Number of connections that found the kernel's queue full.
    overflows: u64,
    /// Number of connections that the kernel dropped for any reason.
    drops: u64,
    progress: Progress,
}

pub(crate) async fn run(bench: &Context, args: &Args) -> anyhow::Result<()> {
    println!(
        "- {} subscribers reconnect at once, {MISSED} events behind; the kernel queues {} connections\n",
        thousands(args.readers as f64),
        fs::read_to_string("/proc/sys/net/core/somaxconn")?.trim()
    );
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..bench.repeats {
        ours.push(with_stentor(bench, args.readers).await?);
        if let Some(program) = &args.axum {
            theirs.push(with_axum(program, args.readers)?);
        }
    }
    println!(
        "| server | connected | caught up | live | peak memory | queue overflows, drops | \
         events lost | duplicated | broken connections |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    show("stentor, on disk", &ours);
    show("axum + broadcast", &theirs);
    Ok(())
}

/// Prints the medians of times and memory, and the sums of errors.
fn show(name: &str, storms: &[Storm]) {
    if storms.is_empty() {
        return;
    }
    let middle = |of: fn(&Storm) -> f64| median(storms.iter().map(of).collect());
    let sum = |of: fn(&Storm) -> u64| thousands(storms.iter().map(of).sum::<u64>() as f64);
    let has_caught_up = storms.iter().all(|storm| storm.progress.lost == 0);
    let caught_up = middle(|storm| storm.caught_up.as_secs_f64());
    println!(
        "| {name} | {:.2} s | {} | {:.2} s | {} | {}, {} | {} | {} | {} |",
        middle(|storm| storm.connected.as_secs_f64()),
        if has_caught_up { format!("{caught_up:.2} s") } else { "never".to_owned() },
        middle(|storm| storm.live.as_secs_f64()),
        mib(middle(|storm| storm.memory as f64) as u64),
        sum(|storm| storm.overflows),
        sum(|storm| storm.drops),
        sum(|storm| storm.progress.lost),
        sum(|storm| storm.progress.duplicated),
        sum(|storm| storm.progress.broken as u64),
    );
}

async fn with_stentor(bench: &Context, readers: usize) -> anyhow::Result<Storm> {
    let dir = bench.temp_dir()?;
    let data = dir.path().join("data");
    let mut subscribers = Subscribers::new(readers, MISSED)?;
    let (target, publish_to) = (format!("/topics/{TOPIC}"), format!("/topics/{TOPIC}"));
    let server = Server::start(&bench.stentor, &data, "fsync")?;
    connect_first(&mut subscribers, server.address, &target, &publish_to)?;
    // This kills it.
    drop(server);
    fill(&data, &[TOPIC.to_owned()], MISSED).await?;
    let server = Server::start(&bench.stentor, &data, "fsync")?;
    let (address, id) = (server.address, server.id());
    reconnect_all(&mut subscribers, address, &target, &publish_to, id, |all| all.caught_up)
}

fn with_axum(program: &Path, readers: usize) -> anyhow::Result<Storm> {
    let mut subscribers = Subscribers::new(readers, MISSED)?;
    let (target, publish_to) = (format!("/sub/{TOPIC}"), format!("/pub/{TOPIC}"));
    let server = Axum::start(program)?;
    connect_first(&mut subscribers, server.address, &target, &publish_to)?;
    drop(server);
    let server = Axum::start(program)?;
    let (address, id) = (server.address, server.process.id());
    // This server has no history, so subscribers are ready as soon as they are connected.
    reconnect_all(&mut subscribers, address, &target, &publish_to, id, |all| all.connected)
}

/// Connects all subscribers, and publishes a first event to them, so that they have its id.
fn connect_first(
    subscribers: &mut Subscribers,
    address: SocketAddr,
    target: &str,
    publish_to: &str,
) -> anyhow::Result<()> {
    subscribers.reconnect(address, target, CONNECTING);
    subscribers.wait_for_all(|all| all.connected)?;
    let publisher = publish(address, publish_to, "hello");
    subscribers.wait_for_all(|all| all.greeted)?;
    joined(publisher)
}

/// Reconnects all subscribers at once. `ready` returns the number of those that wait for the next event.
fn reconnect_all(
    subscribers: &mut Subscribers,
    address: SocketAddr,
    target: &str,
    publish_to: &str,
    process: u32,
    ready: fn(&Progress) -> usize,
) -> anyhow::Result<Storm> {
    let before = (listen_count("ListenOverflows")?, listen_count("ListenDrops")?);
    let begun = Instant::now();
    subscribers.reconnect(address, target, usize::MAX);
    subscribers.wait_for_all(|all| all.connected)?;
    let connected = begun.elapsed();
    subscribers.wait_for_all(ready)?;
    let caught_up = begun.elapsed();
    let publisher = publish(address, publish_to, &format!("{MISSED:0>10} now"));
    subscribers.wait_for_all(|all| all.live)?;
    let live = begun.elapsed();
    joined(publisher)?;
    let memory = process::status_bytes(process, "VmHWM:");
    Ok(Storm {
        connected,
        caught_up,
        live,
        memory: memory.context("/proc has no VmHWM of the server")?,
        overflows: listen_count("ListenOverflows")? - before.0,
        drops: listen_count("ListenDrops")? - before.1,
        progress: subscribers.progress,
    })
}

/// Publishes an event on a separate thread.
fn publish(address: SocketAddr, target: &str, data: &str) -> JoinHandle<anyhow::Result<()>> {
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{data}",
        data.len()
    );
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        if !response.starts_with("HTTP/1.1 20") {
            bail!("publishing failed: {response}");
        }
        Ok(())
    })
}

fn joined(publisher: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    publisher.join().map_err(|_| anyhow::anyhow!("the publisher panicked"))?
}

/// The value of a counter of listening sockets in `/proc/net/netstat`.
fn listen_count(name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/net/netstat")?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let at = names.split(' ').position(|word| word == name);
    let value = at.and_then(|at| values.split(' ').nth(at)?.parse().ok());
    value.with_context(|| format!("/proc/net/netstat has no {name}"))
}

/// The other server, pinned to the server core. It is killed when the value is dropped.
struct Axum {
    process: Child,
    address: SocketAddr,
}

impl Axum {
    fn start(program: &Path) -> anyhow::Result<Axum> {
        const START_TIMEOUT: Duration = Duration::from_secs(5);
        // A port that is free at this moment.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new("taskset")
            .args(["-c", &SERVER_CORE.to_string()])
            .arg(program)
            .arg(address.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let server = Axum { process, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > START_TIMEOUT {
                bail!("{} does not listen on {address}", program.display());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

impl Drop for Axum {
    fn drop(&mut self) {
        // Both fail if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
