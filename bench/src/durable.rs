//! How many events are made durable in a second.

use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

use crate::http::{Connection, publish};
use crate::load::{EVENT_BYTES, Load, Span, TOPICS, counts, publishers};
use crate::measure::{Times, median, percent, thousands};
use crate::server::Server;
use crate::{Bench, bare, disk};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,

    /// Publishers at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64,256")]
    publishers: Vec<usize>,

    /// Lines of the upload.
    #[arg(long, default_value_t = 300_000)]
    lines: usize,
}

/// One number of publishers, measured again and again.
#[derive(Default)]
struct Level {
    fsync: Vec<f64>,
    os: Vec<f64>,
    bare: Vec<f64>,
    batch: Vec<f64>,
    server_busy: Vec<f64>,
    load_busy: Vec<f64>,
    acknowledged: Times,
    acknowledged_os: Times,
}

/// The upload, measured again and again.
#[derive(Default)]
struct Upload {
    fsync: Vec<f64>,
    os: Vec<f64>,
    bare: Vec<f64>,
    batch: Vec<f64>,
}

pub(crate) async fn run(bench: &Bench, args: &Args) -> anyhow::Result<()> {
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
        bench: &Bench,
        args: &Args,
        count: usize,
        fsync: &Server,
        os: &Server,
    ) -> anyhow::Result<()> {
        let measured = Duration::from_secs(args.seconds);
        let span = Span { warm_up: Duration::from_millis(500), measured };
        let load: Load = publishers(fsync, count, span).await?;
        let with_os = publishers(os, count, span).await?;
        let dir = bench.temp_dir()?;
        let topics = count.min(TOPICS);
        self.bare.push(bare::events_per_second(dir.path(), load.batch, topics, measured).await?);
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
        "| publishers | fsync, events/s | os, events/s | bare SQLite, events/s | events a commit | of os | \
         of bare | ack p50 / p99 | ack with os | server core | load core |"
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
        bench: &Bench,
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
        self.bare.push(bare::events_per_second(dir.path(), batch, 1, span).await?);
        Ok(())
    }

    fn print(self) {
        let (fsync, os, bare) = (median(self.fsync), median(self.os), median(self.bare));
        println!("| upload of NDJSON | events/s | events a commit | of os | of bare |");
        println!("| --- | ---: | ---: | ---: | ---: |");
        let batch = median(self.batch);
        let (of_os, of_bare) = (percent(fsync, os), percent(fsync, bare));
        println!("| fsync | {} | {batch:.0} | {of_os} | {of_bare} |", thousands(fsync));
        println!("| os | {} | | | {} |", thousands(os), percent(os, bare));
        println!("| bare SQLite | {} | {batch:.0} | | |", thousands(bare));
    }
}

/// Uploads so many lines at once; tells events a second and events of a commit.
async fn upload(server: &Server, lines: usize) -> anyhow::Result<(f64, f64)> {
    let mut line = vec![b'e'; EVENT_BYTES];
    line.push(b'\n');
    let mut connection = Connection::open(server.address).await?;
    let request = publish("bench/upload", "application/x-ndjson", &line.repeat(lines));
    let (events, commits) = counts(server).await?;
    let begun = Instant::now();
    let answer = connection.ask(&request).await?;
    let seconds = begun.elapsed().as_secs_f64();
    if answer.status != 201 {
        bail!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    let (events_after, commits_after) = counts(server).await?;
    let batch = (events_after - events) / (commits_after - commits).max(1.0);
    Ok((lines as f64 / seconds, batch))
}
