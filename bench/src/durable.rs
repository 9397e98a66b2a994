//! Durable publishes per second.

use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

use crate::context::Context;
use crate::http::{Connection, publish};
use crate::publishers::{EVENT_BYTES, PublishResult, Span, TOPICS, counts, publish_with};
use crate::server::Server;
use crate::stats::{Times, median, percent, thousands};
use crate::{bare_sqlite, disk};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,

    /// Numbers of concurrent publishers.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,256")]
    publishers: Vec<usize>,

    /// Number of lines of the upload.
    #[arg(long, default_value_t = 300_000)]
    lines: usize,
}

/// Measurements with one number of publishers, one value per repeat.
#[derive(Default)]
struct Level {
    fsync: Vec<f64>,
    os: Vec<f64>,
    bare: Vec<f64>,
    /// Mean number of events per commit.
    batch: Vec<f64>,
    server_busy: Vec<f64>,
    load_busy: Vec<f64>,
    acknowledged: Times,
    acknowledged_os: Times,
}

/// Measurements of the upload, one value per repeat.
#[derive(Default)]
struct Upload {
    fsync: Vec<f64>,
    os: Vec<f64>,
    bare: Vec<f64>,
    batch: Vec<f64>,
}

pub(crate) async fn run(bench: &Context, args: &Args) -> anyhow::Result<()> {
    let mut levels: Vec<Level> = args.publishers.iter().map(|_| Level::default()).collect();
    let mut upload = Upload::default();
    let mut syncs = Times::default();
    for _ in 0..bench.repeats {
        let dir = bench.temp_dir()?;
        syncs.extend(disk::sync_times(dir.path())?);
        let fsync = Server::start(&bench.stentor, &dir.path().join("fsync"), "fsync")?;
        let os = Server::start(&bench.stentor, &dir.path().join("os"), "os")?;
        for (count, level) in args.publishers.iter().zip(&mut levels) {
            level.measure(bench, args, *count, &fsync, &os).await?;
        }
        upload.measure(bench, args, &fsync, &os).await?;
        fsync.stop()?;
        os.stop()?;
    }
    println!("- sync of one appended page on this disk, p50 / p99: {}\n", syncs.show());
    print_levels(&args.publishers, &levels);
    upload.print();
    Ok(())
}

impl Level {
    async fn measure(
        &mut self,
        bench: &Context,
        args: &Args,
        count: usize,
        fsync: &Server,
        os: &Server,
    ) -> anyhow::Result<()> {
        let measured = Duration::from_secs(args.seconds);
        let span = Span { warm_up: Duration::from_millis(500), measured };
        let load: PublishResult = publish_with(fsync, count, span).await?;
        let with_os = publish_with(os, count, span).await?;
        let dir = bench.temp_dir()?;
        let topics = count.min(TOPICS);
        let bare = bare_sqlite::events_per_second(dir.path(), load.batch, topics, measured);
        self.bare.push(bare.await?);
        self.fsync.push(load.events_per_second);
        self.os.push(with_os.events_per_second);
        self.batch.push(load.batch);
        self.server_busy.push(load.server_busy);
        self.load_busy.push(load.own_busy);
        self.acknowledged.extend(load.acknowledged);
        self.acknowledged_os.extend(with_os.acknowledged);
        Ok(())
    }
}

fn print_levels(counts: &[usize], levels: &[Level]) {
    println!(
        "| publishers | fsync, events/s | os, events/s | bare SQLite, events/s | events per commit | \
         fsync / os | fsync / bare SQLite | ack p50 / p99 | ack with os, p50 / p99 | server core busy | \
         load core busy |"
    );
    println!("|{}", " ---: |".repeat(11));
    for (count, level) in counts.iter().zip(levels) {
        let (fsync, os) = (median(level.fsync.clone()), median(level.os.clone()));
        let bare = median(level.bare.clone());
        println!(
            "| {count} | {} | {} | {} | {:.1} | {} | {} | {} | {} | {} | {} |",
            thousands(fsync),
            thousands(os),
            thousands(bare),
            median(level.batch.clone()),
            percent(fsync, os),
            percent(fsync, bare),
            level.acknowledged.show(),
            level.acknowledged_os.show(),
            percent(median(level.server_busy.clone()), 1.0),
            percent(median(level.load_busy.clone()), 1.0),
        );
    }
    println!();
}

impl Upload {
    async fn measure(
        &mut self,
        bench: &Context,
        args: &Args,
        fsync: &Server,
        os: &Server,
    ) -> anyhow::Result<()> {
        let (speed, batch) = upload(fsync, args.lines).await?;
        self.fsync.push(speed);
        self.batch.push(batch);
        self.os.push(upload(os, args.lines).await?.0);
        let dir = bench.temp_dir()?;
        let span = Duration::from_secs(args.seconds);
        self.bare.push(bare_sqlite::events_per_second(dir.path(), batch, 1, span).await?);
        Ok(())
    }

    fn print(self) {
        let (fsync, os, bare) = (median(self.fsync), median(self.os), median(self.bare));
        println!("| NDJSON upload | events/s | events per commit | of os | of bare SQLite |");
        println!("| --- | ---: | ---: | ---: | ---: |");
        let batch = median(self.batch);
        let (of_os, of_bare) = (percent(fsync, os), percent(fsync, bare));
        println!("| fsync | {} | {batch:.0} | {of_os} | {of_bare} |", thousands(fsync));
        println!("| os | {} | | | {} |", thousands(os), percent(os, bare));
        println!("| bare SQLite | {} | {batch:.0} | | |", thousands(bare));
    }
}

/// Uploads `lines` lines in one request. Returns events per second and events per commit.
async fn upload(server: &Server, lines: usize) -> anyhow::Result<(f64, f64)> {
    let mut line = vec![b'e'; EVENT_BYTES];
    line.push(b'\n');
    let mut connection = Connection::open(server.address).await?;
    let request = publish("bench/upload", "application/x-ndjson", &line.repeat(lines));
    let (events, commits) = counts(server).await?;
    let begun = Instant::now();
    let response = connection.send(&request).await?;
    let seconds = begun.elapsed().as_secs_f64();
    if response.status != 201 {
        bail!("{}: {}", response.status, String::from_utf8_lossy(&response.body));
    }
    let (events_after, commits_after) = counts(server).await?;
    let batch = (events_after - events) / (commits_after - commits).max(1.0);
    Ok((lines as f64 / seconds, batch))
}
