//! Subscribers that stop reading: their memory in the server, and their catch-up.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep, sleep_until};

use crate::context::Context;
use crate::http::{Connection, publish};
use crate::reader::Reader;
use crate::server::Server;
use crate::stats::{Times, mib, thousands};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of subscribers that stop reading.
    #[arg(long, default_value_t = 1)]
    readers: usize,

    /// Seconds without reading, while events are published.
    #[arg(long, default_value_t = 150)]
    seconds: u64,

    /// Events per second.
    #[arg(long, default_value_t = 500)]
    rate: u32,

    /// Bytes of an event.
    #[arg(long, default_value_t = 4096)]
    bytes: usize,

    /// Number of subscribers that catch up at the same time.
    #[arg(long, default_value_t = 20)]
    at_once: usize,
}

/// A reader that checks the numbers of its events.
struct CheckedReader {
    reader: Reader,
    next: u64,
    connections: usize,
}

pub(crate) async fn run(bench: &Context, args: &Args) -> anyhow::Result<()> {
    let dir = bench.temp_dir()?;
    let server = Server::start(&bench.stentor, &dir.path().join("data"), "fsync")?;
    let mut publisher = Publisher::new(&server, args).await?;
    let mut readers = Vec::with_capacity(args.readers);
    for _ in 0..args.readers {
        let mut reader = Reader::open(server.address, "/topics/load", None).await?;
        reader.read(|_| {}).await?;
        readers.push(CheckedReader { reader, next: 0, connections: 1 });
    }
    // All read a little, and then stop.
    publisher.publish_for(Duration::from_millis(500)).await?;
    for reader in &mut readers {
        reader.read_to(&server, 1).await?;
    }
    println!(
        "| after | server memory (RssAnon) | open streams | events |\n| ---: | ---: | ---: | ---: |"
    );
    let begun = Instant::now();
    let span = Duration::from_secs(args.seconds);
    let (mut lowest, mut highest) = (u64::MAX, 0);
    while begun.elapsed() < span {
        publisher.publish_for(span / 10).await?;
        let memory = server.anonymous_bytes()?;
        (lowest, highest) = (lowest.min(memory), highest.max(memory));
        println!(
            "| {:.0} s | {} | {} | {} |",
            begun.elapsed().as_secs_f64(),
            mib(memory),
            server.metric("stentor_streams_open").await?,
            thousands(publisher.next as f64),
        );
    }
    let until = publisher.next;
    println!(
        "\nack p50 / p99 meanwhile: {}; memory from {} to {}",
        publisher.times.show(),
        mib(lowest),
        mib(highest)
    );
    catch_up(server, readers, until, args).await
}

/// Lets all subscribers read the rest, `at_once` of them at a time.
async fn catch_up(
    server: Server,
    mut readers: Vec<CheckedReader>,
    until: u64,
    args: &Args,
) -> anyhow::Result<()> {
    let server = std::sync::Arc::new(server);
    let begun = Instant::now();
    let (mut connections, count) = (0, readers.len());
    while !readers.is_empty() {
        let rest = readers.split_off(args.at_once.min(readers.len()));
        let tasks: Vec<_> = std::mem::replace(&mut readers, rest)
            .into_iter()
            .map(|mut reader| {
                let server = std::sync::Arc::clone(&server);
                tokio::spawn(async move {
                    reader.read_to(&server, until).await?;
                    anyhow::Ok(reader.connections)
                })
            })
            .collect();
        for task in tasks {
            connections += task.await??;
        }
    }
    sleep(Duration::from_millis(100)).await;
    println!(
        "\n{count} subscriber(s) received all {} events, each once and in order, after {:.1} s and \
         {connections} connections; RssAnon then {}",
        thousands(until as f64),
        begun.elapsed().as_secs_f64(),
        mib(server.anonymous_bytes()?)
    );
    Ok(())
}

impl CheckedReader {
    /// Reads up to the event number `until`. Reconnects when the connection breaks.
    async fn read_to(&mut self, server: &Server, until: u64) -> anyhow::Result<()> {
        /// Maximum number of broken connections in a row without an event.
        const FAILURES_MAX: usize = 3;
        let mut failures = 0;
        while self.next < until {
            let before = self.next;
            let mut wrong = false;
            let read = self.reader.read(|data| {
                let digits = data.get(..10).and_then(|digits| str::from_utf8(digits).ok());
                wrong |= digits.and_then(|digits| digits.parse().ok()) != Some(self.next);
                self.next += 1;
            });
            let read = read.await;
            if wrong {
                bail!("an event after {before} was lost, duplicated or out of order");
            }
            failures = if self.next > before { 0 } else { failures };
            if matches!(&read, Ok(true)) {
                continue;
            }
            failures += 1;
            if failures > FAILURES_MAX {
                read?;
                bail!("the stream ended repeatedly after {before} events");
            }
            let id = self.reader.last_id.clone();
            self.reader = Reader::open(server.address, "/topics/load", Some(&id)).await?;
            self.connections += 1;
        }
        Ok(())
    }
}

/// Publishes numbered events at a steady rate.
struct Publisher {
    connection: Connection,
    next: u64,
    pause: Duration,
    bytes: usize,
    times: Times,
}

impl Publisher {
    async fn new(server: &Server, args: &Args) -> anyhow::Result<Publisher> {
        let connection = Connection::open(server.address).await?;
        let pause = Duration::from_secs(1) / args.rate.max(1);
        Ok(Publisher { connection, next: 0, pause, bytes: args.bytes, times: Times::default() })
    }

    async fn publish_for(&mut self, span: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut due = Instant::now();
        while begun.elapsed() < span {
            let width = self.bytes.saturating_sub(11);
            let data = format!("{:0>10} {:e<width$}", self.next, "");
            let sent = Instant::now();
            let request = publish("load", "text/plain", data.as_bytes());
            let response = self.connection.send(&request).await?;
            if response.status != 201 {
                bail!("{}: {}", response.status, String::from_utf8_lossy(&response.body));
            }
            self.times.add(sent.elapsed());
            self.next += 1;
            due += self.pause;
            sleep_until(due).await;
        }
        Ok(())
    }
}
