//! A full replay: its speed and memory, and how much it slows publishers and other subscribers.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::bail;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, sleep};

use crate::context::Context;
use crate::disk;
use crate::fill::fill;
use crate::http::{Connection, publish};
use crate::reader::Reader;
use crate::server::Server;
use crate::stats::{Times, median, mib, thousands};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of events in the log.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,

    /// Number of concurrent replays.
    #[arg(long, default_value_t = 1)]
    readers: usize,

    /// Seconds of the measurement without a replay, for comparison.
    #[arg(long, default_value_t = 5)]
    quiet: u64,
}

/// Times of one publisher and one live subscriber of another topic.
#[derive(Clone, Default)]
struct Background {
    acknowledged: Times,
    delivered: Times,
}

/// Result of one run.
struct Run {
    events_per_second: f64,
    /// Growth of the server's anonymous memory in bytes.
    growth: u64,
    /// Without a replay.
    quiet: Background,
    /// During the replay.
    during: Background,
}

pub(crate) async fn run(bench: &Context, args: &Args) -> anyhow::Result<()> {
    let dir = bench.temp_dir()?;
    println!("- sync of one appended page, p50 / p99: {}\n", disk::sync_times(dir.path())?.show());
    let data = dir.path().join("data");
    fill(&data, &["history".to_owned()], args.events).await?;
    let local = LocalSet::new();
    let runs = local.run_until(async {
        let mut runs = Vec::new();
        for _ in 0..bench.repeats {
            let server = Rc::new(Server::start(&bench.stentor, &data, "fsync")?);
            runs.push(once(&server, args).await?);
        }
        anyhow::Ok(runs)
    });
    let runs = runs.await?;
    let speed = median(runs.iter().map(|run| run.events_per_second).collect());
    let growth = runs.iter().map(|run| run.growth).max().unwrap_or_default();
    println!(
        "{} replay(s) of {} events: {} events/s in total; anonymous memory of the server grew by at most {}\n",
        args.readers,
        thousands(args.events as f64),
        thousands(speed),
        mib(growth)
    );
    println!("| meanwhile | publishes | ack p50 / p99 | publish to live subscriber, p50 / p99 |");
    println!("| --- | ---: | ---: | ---: |");
    for name in ["no replay", "replay"] {
        let (mut acknowledged, mut delivered) = (Times::default(), Times::default());
        for run in &runs {
            let background = if name == "replay" { &run.during } else { &run.quiet };
            acknowledged.extend(background.acknowledged.clone());
            delivered.extend(background.delivered.clone());
        }
        println!(
            "| {name} | {} | {} | {} |",
            acknowledged.len(),
            acknowledged.show(),
            delivered.show()
        );
    }
    Ok(())
}

async fn once(server: &Rc<Server>, args: &Args) -> anyhow::Result<Run> {
    let quiet = in_background(server, async {
        sleep(Duration::from_secs(args.quiet)).await;
        anyhow::Ok(())
    });
    let (quiet, ()) = quiet.await?;
    let before = server.anonymous_bytes()?;
    let peak = Rc::new(Cell::new(before));
    let begun = Instant::now();
    let watch = tokio::task::spawn_local(watch_memory(Rc::clone(server), Rc::clone(&peak)));
    let replays = async {
        let readers: Vec<_> =
            (0..args.readers).map(|_| replay(server.address, args.events)).collect();
        for reader in readers {
            reader.await??;
        }
        anyhow::Ok(begun.elapsed().as_secs_f64())
    };
    let (during, seconds) = in_background(server, replays).await?;
    watch.abort();
    // The task holds a reference to the server, which must stop before the next run opens the log.
    let _ = watch.await;
    Ok(Run {
        events_per_second: args.events as f64 * args.readers as f64 / seconds,
        growth: peak.get() - before,
        quiet,
        during,
    })
}

/// Records the peak of the server's anonymous memory.
async fn watch_memory(server: Rc<Server>, peak: Rc<Cell<u64>>) -> anyhow::Result<()> {
    loop {
        peak.set(peak.get().max(server.anonymous_bytes()?));
        sleep(Duration::from_millis(20)).await;
    }
}

/// Replays on a separate thread, so that it does not delay the publisher and the live subscriber.
fn replay(address: SocketAddr, events: u64) -> JoinHandle<anyhow::Result<()>> {
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(read_all(address, events))
    })
}

/// Reads the whole history and checks that each event arrives once and in order.
async fn read_all(address: SocketAddr, events: u64) -> anyhow::Result<()> {
    let mut reader = Reader::open(address, "/topics/history?from=earliest", None).await?;
    let (mut next, mut wrong) = (0, None);
    while next < events {
        let continues = reader.read(|data| {
            let digits = data.get(..10).and_then(|digits| str::from_utf8(digits).ok());
            if digits.and_then(|digits| digits.parse().ok()) != Some(next) {
                wrong.get_or_insert(next);
            }
            next += 1;
        });
        if !continues.await? {
            bail!("the stream ended after {next} events");
        }
        if let Some(wrong) = wrong {
            bail!("event {wrong} was lost, duplicated or out of order");
        }
    }
    Ok(())
}

/// Runs `work`, with one publisher and one live subscriber in the background.
async fn in_background<T>(
    server: &Rc<Server>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(Background, T)> {
    let epoch = Instant::now();
    let over = Rc::new(Cell::new(false));
    let mut reader = Reader::open(server.address, "/topics/live", None).await?;
    // The subscription is active once the first bytes have arrived.
    reader.read(|_| {}).await?;
    let live = tokio::task::spawn_local(async move {
        let mut delivered = Times::default();
        loop {
            let mut last = false;
            let continues = reader.read(|data| {
                let sent = str::from_utf8(data).ok().and_then(|digits| digits.parse().ok());
                last |= sent.is_none();
                if let Some(sent) = sent.map(Duration::from_nanos) {
                    delivered.add(epoch.elapsed().saturating_sub(sent));
                }
            });
            if !continues.await? || last {
                return anyhow::Ok(delivered);
            }
        }
    });
    let publisher = tokio::task::spawn_local(publisher(Rc::clone(server), epoch, Rc::clone(&over)));
    let worked = work.await;
    over.set(true);
    let acknowledged = publisher.await??;
    Ok((Background { acknowledged, delivered: live.await?? }, worked?))
}

/// Publishes the current time, with a pause after each response, and `over` at the end.
async fn publisher(
    server: Rc<Server>,
    epoch: Instant,
    over: Rc<Cell<bool>>,
) -> anyhow::Result<Times> {
    const PAUSE: Duration = Duration::from_millis(2);
    let mut connection = Connection::open(server.address).await?;
    let mut times = Times::default();
    while !over.get() {
        let sent = epoch.elapsed();
        let request = publish("live", "text/plain", sent.as_nanos().to_string().as_bytes());
        connection.send(&request).await?;
        times.add(epoch.elapsed().saturating_sub(sent));
        sleep(PAUSE).await;
    }
    connection.send(&publish("live", "text/plain", b"over")).await?;
    Ok(times)
}
