//! What a full replay takes from the server, from publishers and from other readers.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::bail;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, sleep};

use crate::fill::fill;
use crate::http::{Connection, publish};
use crate::measure::{Times, median, mib, thousands};
use crate::reader::Reader;
use crate::server::Server;
use crate::{Bench, disk};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Events of the log.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,

    /// Readers that replay it at the same time.
    #[arg(long, default_value_t = 1)]
    readers: usize,

    /// Seconds without a replay, to compare.
    #[arg(long, default_value_t = 5)]
    quiet: u64,
}

/// What one publisher and one live reader saw while something else went on.
#[derive(Clone, Default)]
struct Beside {
    acknowledged: Times,
    delivered: Times,
}

/// One run.
struct Seen {
    events_per_second: f64,
    growth: u64,
    quiet: Beside,
    during: Beside,
}

pub(crate) async fn run(bench: &Bench, args: &Args) -> anyhow::Result<()> {
    let dir = bench.temp_dir()?;
    println!("- sync of one appended page, p50 / p99: {}\n", disk::sync_times(dir.path())?.show());
    let data = dir.path().join("data");
    fill(&data, &["history".to_owned()], args.events).await?;
    let local = LocalSet::new();
    let seen = local.run_until(async {
        let mut seen = Vec::new();
        for _ in 0..bench.repeats {
            let server = Rc::new(Server::start(&bench.stentor, &data, "fsync")?);
            seen.push(once(&server, args).await?);
        }
        anyhow::Ok(seen)
    });
    let seen = seen.await?;
    let speed = median(seen.iter().map(|seen| seen.events_per_second).collect());
    let growth = seen.iter().map(|seen| seen.growth).max().unwrap_or_default();
    println!(
        "{} reader(s) of {} events: {} events/s in all; anonymous memory of the server grew by at most {}\n",
        args.readers,
        thousands(args.events as f64),
        thousands(speed),
        mib(growth)
    );
    println!("| meanwhile | publishes | ack p50 / p99 | publish to live reader p50 / p99 |");
    println!("| --- | ---: | ---: | ---: |");
    for (name, of) in [("quiet", (|s| &s.quiet) as fn(&Seen) -> &Beside), ("replay", |s| &s.during)]
    {
        let (mut acknowledged, mut delivered) = (Times::default(), Times::default());
        for seen in &seen {
            acknowledged.extend(of(seen).acknowledged.clone());
            delivered.extend(of(seen).delivered.clone());
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

async fn once(server: &Rc<Server>, args: &Args) -> anyhow::Result<Seen> {
    let quiet = beside(server, async {
        sleep(Duration::from_secs(args.quiet)).await;
        anyhow::Ok(())
    });
    let (quiet, ()) = quiet.await?;
    let before = server.anonymous_bytes()?;
    let highest = Rc::new(Cell::new(before));
    let begun = Instant::now();
    let watch = tokio::task::spawn_local(watch(Rc::clone(server), Rc::clone(&highest)));
    let replays = async {
        let readers: Vec<_> =
            (0..args.readers).map(|_| replay(server.address, args.events)).collect();
        for reader in readers {
            reader.await??;
        }
        anyhow::Ok(begun.elapsed().as_secs_f64())
    };
    let (during, seconds) = beside(server, replays).await?;
    watch.abort();
    // Until it is gone it holds the server, and the next one wants the log.
    let _ = watch.await;
    Ok(Seen {
        events_per_second: args.events as f64 * args.readers as f64 / seconds,
        growth: highest.get() - before,
        quiet,
        during,
    })
}

/// Keeps the highest memory.
async fn watch(server: Rc<Server>, highest: Rc<Cell<u64>>) -> anyhow::Result<()> {
    loop {
        highest.set(highest.get().max(server.anonymous_bytes()?));
        sleep(Duration::from_millis(20)).await;
    }
}

/// Replays on a thread of its own, so that the load does not hold itself up.
fn replay(address: SocketAddr, events: u64) -> JoinHandle<anyhow::Result<()>> {
    tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(read_all(address, events))
    })
}

/// Reads all of the history, each event once and in order.
async fn read_all(address: SocketAddr, events: u64) -> anyhow::Result<()> {
    let mut reader = Reader::open(address, "/topics/history?from=earliest", None).await?;
    let (mut next, mut wrong) = (0, None);
    while next < events {
        let goes_on = reader.read(|data| {
            let digits = data.get(..10).and_then(|digits| str::from_utf8(digits).ok());
            if digits.and_then(|digits| digits.parse().ok()) != Some(next) {
                wrong.get_or_insert(next);
            }
            next += 1;
        });
        if !goes_on.await? {
            bail!("the stream ended after {next} events");
        }
        if let Some(wrong) = wrong {
            bail!("event {wrong} did not come in its place");
        }
    }
    Ok(())
}

/// Lets one publisher publish and one live reader read while something goes on.
async fn beside<T>(
    server: &Rc<Server>,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(Beside, T)> {
    let epoch = Instant::now();
    let over = Rc::new(Cell::new(false));
    let mut reader = Reader::open(server.address, "/topics/live", None).await?;
    // The first bytes show that it is subscribed.
    reader.read(|_| {}).await?;
    let live = tokio::task::spawn_local(async move {
        let mut delivered = Times::default();
        loop {
            let mut last = false;
            let goes_on = reader.read(|data| {
                let sent = str::from_utf8(data).ok().and_then(|digits| digits.parse().ok());
                last |= sent.is_none();
                if let Some(sent) = sent.map(Duration::from_nanos) {
                    delivered.add(epoch.elapsed().saturating_sub(sent));
                }
            });
            if !goes_on.await? || last {
                return anyhow::Ok(delivered);
            }
        }
    });
    let publisher = tokio::task::spawn_local(publisher(Rc::clone(server), epoch, Rc::clone(&over)));
    let worked = work.await;
    over.set(true);
    let acknowledged = publisher.await??;
    Ok((Beside { acknowledged, delivered: live.await?? }, worked?))
}

/// Publishes the time, with a pause after each answer, and a last word at the end.
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
        connection.ask(&request).await?;
        times.add(epoch.elapsed().saturating_sub(sent));
        sleep(PAUSE).await;
    }
    connection.ask(&publish("live", "text/plain", b"over")).await?;
    Ok(times)
}
