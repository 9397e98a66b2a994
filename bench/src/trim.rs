//! The disk space that trimming frees.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::bail;
use stentor_hub::storage::{Seek, SqliteStorage, Storage};
use stentor_hub::{Filters, Hub, Offset, TopicName};
use tokio::time::{Instant, sleep};

use crate::context::Context;
use crate::fill;
use crate::stats::{mib, thousands};

/// Number of topics of the log, which get events in turn.
const TOPICS: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of events in the log.
    #[arg(long, default_value_t = 500_000)]
    events: u64,
}

/// The nine tenths of the log that are removed.
#[derive(Clone, Copy)]
enum Cut {
    /// The oldest of each topic.
    Oldest,
    /// Nine of ten topics. Their records alternate with those of the tenth.
    Topics,
}

pub(crate) async fn run(bench: &Context, args: &Args) -> anyhow::Result<()> {
    println!(
        "- in this process, without a server; {} small events in {TOPICS} topics\n",
        thousands(args.events as f64)
    );
    println!(
        "| trimmed | before | after, with write-ahead log | took | new log of the same events | ratio | \
         ratio without write-ahead log |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for (name, cut) in
        [("the oldest 90 % of each topic", Cut::Oldest), ("9 of 10 topics", Cut::Topics)]
    {
        let dir = bench.temp_dir()?;
        let (log, fresh) = (dir.path().join("log"), dir.path().join("fresh"));
        let topics: Vec<String> = (0..TOPICS).map(|number| format!("bench/{number}")).collect();
        fill::fill(&log, &topics, args.events).await?;
        let before = size(&log)?.0;
        let (after, took) = trim(&log, cut).await?;
        let took = took.as_secs_f64();
        let survivors =
            if matches!(cut, Cut::Oldest) { topics } else { vec!["bench/0".to_owned()] };
        fill::fill(&fresh, &survivors, args.events / 10).await?;
        // It is closed, so it has no write-ahead log.
        let fresh = size(&fresh)?.0;
        println!(
            "| {name} | {} | {} + {} | {took:.1} s | {} | {:.2} | {:.2} |",
            mib(before),
            mib(after.0),
            mib(after.1),
            mib(fresh),
            (after.0 + after.1) as f64 / fresh as f64,
            after.0 as f64 / fresh as f64,
        );
    }
    Ok(())
}

/// Trims, and waits until the log has settled. Returns its size and the time that took.
async fn trim(dir: &Path, cut: Cut) -> anyhow::Result<((u64, u64), Duration)> {
    let storage = SqliteStorage::open_with(dir, fill::options())?;
    let begun = Instant::now();
    for number in 0..TOPICS {
        let topic: TopicName = format!("bench/{number}").parse()?;
        match cut {
            Cut::Oldest => {
                let through = tenth_newest(&storage, &topic).await?;
                storage.trim(vec![(topic, through)]).await?;
            }
            Cut::Topics if number > 0 => storage.trim(vec![(topic, Offset::MAX)]).await?,
            Cut::Topics => {}
        }
    }
    let settled = settle(dir).await?;
    let size = size(dir)?;
    // Closing through the hub also finishes the maintenance of the log.
    Hub::new(storage).close().await;
    Ok((size, settled - begun))
}

/// The offset before the newest tenth of a topic.
async fn tenth_newest(storage: &SqliteStorage, topic: &TopicName) -> anyhow::Result<Offset> {
    let filters = Arc::new(Filters::topic(topic.clone()));
    let states = storage.states(vec![topic.clone()]).await?;
    let events = states.first().map_or(0, |state| state.events);
    let seek = Seek::Newest { count: (events / 10) as usize, before: Offset::MAX };
    Ok(storage.seek(filters, seek).await?.after)
}

/// Waits until nothing has been written for 5 s. Returns the time of the last write.
async fn settle(dir: &Path) -> anyhow::Result<Instant> {
    /// Time without a write after which the log has settled.
    const STILL: Duration = Duration::from_secs(5);
    const TIMEOUT: Duration = Duration::from_mins(3);
    let begun = Instant::now();
    let (mut last, mut since) = (written(dir)?, Instant::now());
    while since.elapsed() < STILL {
        if begun.elapsed() > TIMEOUT {
            bail!("the log has not settled after {TIMEOUT:?}");
        }
        sleep(Duration::from_millis(50)).await;
        let now = written(dir)?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    Ok(since)
}

/// The times of the last writes. Sizes are not enough: a file that is overwritten in place keeps its size.
fn written(dir: &Path) -> anyhow::Result<[Option<SystemTime>; 2]> {
    let written = |name| fs::metadata(dir.join(name)).and_then(|file| file.modified());
    Ok([Some(written("log.db")?), written("log.db-wal").ok()])
}

/// The sizes in bytes of the database and of its write-ahead log.
fn size(dir: &Path) -> anyhow::Result<(u64, u64)> {
    let wal = fs::metadata(dir.join("log.db-wal")).map_or(0, |wal| wal.len());
    Ok((fs::metadata(dir.join("log.db"))?.len(), wal))
}
