//! How long it takes until all readers are live again that come back at once after a restart.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::Instant;

use crate::Bench;
use crate::crowd::{Crowd, Tally};
use crate::fill::fill;
use crate::machine::SERVER_CORE;
use crate::measure::{median, mib, thousands};
use crate::server::Server;

/// Events that the readers have missed.
const MISSED: u64 = 20;
/// Readers that connect at a time before the restart, so that none of them has to wait for a second.
const GENTLY: usize = 500;
const TOPIC: &str = "storm";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Readers; each takes a file descriptor here and one in the server.
    #[arg(long, default_value_t = 15_000)]
    readers: usize,

    /// A server of axum and a broadcast channel for each topic, to measure beside: `FILE ADDRESS` starts
    /// it, and it has `/sub/NAME` and `/pub/NAME`.
    #[arg(long, value_name = "FILE")]
    axum: Option<PathBuf>,
}

/// One return of all.
struct Return {
    connected: Duration,
    caught_up: Duration,
    live: Duration,
    memory: u64,
    /// Connections that found the kernel's queue full.
    overflows: u64,
    drops: u64,
    tally: Tally,
}

pub(crate) async fn run(bench: &Bench, args: &Args) -> anyhow::Result<()> {
    println!(
        "- {} readers come back at once, {MISSED} events behind; the kernel queues {} connections\n",
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
        "| server | connected | have what they missed | live | peak memory | queue overflows, drops | \
         events lost | doubled | broken connections |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    );
    show("stentor, on disk", &ours);
    show("axum + broadcast", &theirs);
    Ok(())
}

/// Prints the medians; of what must not happen, the sums.
fn show(name: &str, returns: &[Return]) {
    if returns.is_empty() {
        return;
    }
    let middle = |of: fn(&Return) -> f64| median(returns.iter().map(of).collect());
    let sum = |of: fn(&Return) -> u64| thousands(returns.iter().map(of).sum::<u64>() as f64);
    let has_caught_up = returns.iter().all(|all| all.tally.lost == 0);
    let caught_up = middle(|all| all.caught_up.as_secs_f64());
    println!(
        "| {name} | {:.2} s | {} | {:.2} s | {} | {}, {} | {} | {} | {} |",
        middle(|all| all.connected.as_secs_f64()),
        if has_caught_up { format!("{caught_up:.2} s") } else { "never".to_owned() },
        middle(|all| all.live.as_secs_f64()),
        mib(middle(|all| all.memory as f64) as u64),
        sum(|all| all.overflows),
        sum(|all| all.drops),
        sum(|all| all.tally.lost),
        sum(|all| all.tally.doubled),
        sum(|all| all.tally.broken as u64),
    );
}

async fn with_stentor(bench: &Bench, readers: usize) -> anyhow::Result<Return> {
    let dir = bench.temp_dir()?;
    let data = dir.path().join("data");
    let mut crowd = Crowd::new(readers, MISSED)?;
    let (target, publish_to) = (format!("/topics/{TOPIC}"), format!("/topics/{TOPIC}"));
    let server = Server::start(&bench.stentor, &data, "fsync")?;
    connect_gently(&mut crowd, server.address, &target, &publish_to)?;
    // Killed, not stopped.
    drop(server);
    fill(&data, &[TOPIC.to_owned()], MISSED).await?;
    let server = Server::start(&bench.stentor, &data, "fsync")?;
    come_back(&mut crowd, server.address, &target, &publish_to, server.id(), |tally| {
        tally.caught_up
    })
}

fn with_axum(program: &Path, readers: usize) -> anyhow::Result<Return> {
    let mut crowd = Crowd::new(readers, MISSED)?;
    let (target, publish_to) = (format!("/sub/{TOPIC}"), format!("/pub/{TOPIC}"));
    let server = Axum::start(program)?;
    connect_gently(&mut crowd, server.address, &target, &publish_to)?;
    drop(server);
    let server = Axum::start(program)?;
    // It knows nothing of what was missed, so all that can be waited for is the next event.
    come_back(&mut crowd, server.address, &target, &publish_to, server.process.id(), |tally| {
        tally.connected
    })
}

/// Has all readers connect and get a first event, so that they have its id.
fn connect_gently(
    crowd: &mut Crowd,
    address: SocketAddr,
    target: &str,
    publish_to: &str,
) -> anyhow::Result<()> {
    crowd.come(address, target, GENTLY);
    crowd.until_all(|tally| tally.connected)?;
    let publisher = publish(address, publish_to, "hello");
    crowd.until_all(|tally| tally.greeted)?;
    joined(publisher)
}

/// Has all readers come back at once; `ready` says who waits for the next event.
fn come_back(
    crowd: &mut Crowd,
    address: SocketAddr,
    target: &str,
    publish_to: &str,
    process: u32,
    ready: fn(&Tally) -> usize,
) -> anyhow::Result<Return> {
    let before = (listen_count("ListenOverflows")?, listen_count("ListenDrops")?);
    let begun = Instant::now();
    crowd.come(address, target, usize::MAX);
    crowd.until_all(|tally| tally.connected)?;
    let connected = begun.elapsed();
    crowd.until_all(ready)?;
    let caught_up = begun.elapsed();
    let publisher = publish(address, publish_to, &format!("{MISSED:0>10} now"));
    crowd.until_all(|tally| tally.live)?;
    let live = begun.elapsed();
    joined(publisher)?;
    Ok(Return {
        connected,
        caught_up,
        live,
        memory: peak_memory(process)?,
        overflows: listen_count("ListenOverflows")? - before.0,
        drops: listen_count("ListenDrops")? - before.1,
        tally: crowd.tally,
    })
}

/// Publishes beside the readers.
fn publish(address: SocketAddr, target: &str, data: &str) -> JoinHandle<anyhow::Result<()>> {
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{data}",
        data.len()
    );
    std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 20") {
            bail!("publishing failed: {answer}");
        }
        Ok(())
    })
}

fn joined(publisher: JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    publisher.join().map_err(|_| anyhow::anyhow!("the publisher panicked"))?
}

/// How often so far a connection met a full queue, or was dropped by the kernel for any reason.
fn listen_count(name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/net/netstat")?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let at = names.split(' ').position(|word| word == name);
    let value = at.and_then(|at| values.split(' ').nth(at)?.parse().ok());
    value.with_context(|| format!("the system does not count {name}"))
}

/// The most memory that a process ever had, in bytes.
fn peak_memory(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.context("the system tells VmHWM")? << 10)
}

/// The other server, on the core of ours. Ends with the value.
struct Axum {
    process: Child,
    address: SocketAddr,
}

impl Axum {
    fn start(program: &Path) -> anyhow::Result<Axum> {
        const PATIENCE: Duration = Duration::from_secs(5);
        // A port that is free now.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let process = Command::new("taskset")
            .args(["-c", &SERVER_CORE.to_string()])
            .arg(program)
            .arg(address.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let server = Axum { process, address };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begun.elapsed() > PATIENCE {
                bail!("{} does not listen on {address}", program.display());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(server)
    }
}

impl Drop for Axum {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
