//! The time to the first missed event of a subscriber that resumes 20 events back.

use anyhow::{Context as _, bail};
use tokio::time::Instant;

use crate::context::Context;
use crate::disk;
use crate::fill::fill;
use crate::http::{Connection, publish};
use crate::publishers::EVENT_BYTES;
use crate::reader::Reader;
use crate::server::Server;
use crate::stats::{Times, thousands};

/// Number of missed events.
const BEHIND: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of events in the short and in the long log.
    #[arg(long, value_delimiter = ',', default_value = "1000,1000000")]
    events: Vec<u64>,

    /// Number of resumes in each repeat.
    #[arg(long, default_value_t = 200)]
    times: usize,
}

/// A request and the log it reads.
struct Case {
    name: &'static str,
    topic: &'static str,
    /// `true` for the log with 100 topics.
    many: bool,
    /// `true` if the missed events were published after the start of the server.
    fresh: bool,
    /// `true` if all requests are equal, so that all but the first share one query of the log.
    alike: bool,
}

const CASES: [Case; 5] = [
    Case { name: "one topic", topic: "one", many: false, fresh: false, alike: false },
    Case { name: "1 of 100 topics", topic: "t/0", many: true, fresh: false, alike: false },
    Case { name: "all 100, by `t/*`", topic: "t/*", many: true, fresh: false, alike: false },
    Case {
        name: "one topic, equal requests",
        topic: "one",
        many: false,
        fresh: false,
        alike: true,
    },
    Case {
        name: "one topic, equal requests, events since the start",
        topic: "one",
        many: false,
        fresh: true,
        alike: true,
    },
];

impl Case {
    /// Returns the request target of one turn. An unused topic in it makes requests differ, so that they do not share
    /// one query.
    fn target(&self, turn: usize) -> String {
        let other = if self.alike { String::new() } else { format!("&topic=none/{turn}") };
        format!("/events?topic={}{other}", self.topic)
    }
}

/// Two servers with logs of equal length, one with one topic and one with 100.
struct Pair {
    one: Server,
    many: Server,
}

pub(crate) async fn run(bench: &Context, args: &Args) -> anyhow::Result<()> {
    let dir = bench.temp_dir()?;
    println!("- sync of one appended page, p50 / p99: {}", disk::sync_times(dir.path())?.show());
    println!(
        "- from connecting to the first missed event, {} times each\n",
        args.times * bench.repeats
    );
    let mut pairs = Vec::new();
    for events in &args.events {
        let path = |kind: &str| dir.path().join(format!("{kind}-{events}"));
        fill(&path("one"), &["one".to_owned()], *events).await?;
        fill(&path("many"), &many(), *events).await?;
        pairs.push(Pair {
            one: Server::start(&bench.stentor, &path("one"), "fsync")?,
            many: Server::start(&bench.stentor, &path("many"), "fsync")?,
        });
    }
    let lengths = args
        .events
        .iter()
        .map(|events| format!(" {} events, p50 / p99 |", thousands(*events as f64)));
    println!("| request |{} ratio of p50 |", lengths.collect::<String>());
    println!("| --- |{} ---: |", " ---: |".repeat(pairs.len()));
    for case in &CASES {
        measure(case, &pairs, args.times * bench.repeats).await?;
    }
    Ok(())
}

/// Returns the names of 100 topics, in the order in which they get events. The first one occurs three times, so that
/// it has enough events in a short log too.
fn many() -> Vec<String> {
    let mut names: Vec<String> = (0..100).map(|number| format!("t/{number}")).collect();
    names.insert(34, "t/0".to_owned());
    names.insert(68, "t/0".to_owned());
    names
}

async fn measure(case: &Case, pairs: &[Pair], times: usize) -> anyhow::Result<()> {
    const WARM_UP: usize = 20;
    let servers: Vec<&Server> =
        pairs.iter().map(|pair| if case.many { &pair.many } else { &pair.one }).collect();
    let mut cursors = Vec::new();
    for server in &servers {
        if case.fresh {
            publish_missed(server).await?;
        }
        cursors.push(cursor(server, case.topic).await?);
    }
    let mut waits = vec![Times::default(); servers.len()];
    for turn in 0..WARM_UP + times {
        let target = case.target(turn);
        // The servers take turns, so that disturbances of the machine affect both.
        for ((server, cursor), waits) in servers.iter().zip(&cursors).zip(&mut waits) {
            let begun = Instant::now();
            let mut reader = Reader::open(server.address, &target, Some(cursor)).await?;
            let mut arrived = 0;
            while arrived == 0 {
                if !reader.read(|_| arrived += 1).await? {
                    bail!("the stream ended before its first event");
                }
            }
            if turn >= WARM_UP {
                waits.add(begun.elapsed());
            }
        }
    }
    let shown: Vec<String> = waits.iter().map(Times::show).collect();
    let (first, last) = (waits.first(), waits.last());
    let ratio = last.map_or(0.0, |waits| waits.percentile(50))
        / first.map_or(1.0, |waits| waits.percentile(50));
    println!("| {} | {} | {ratio:.2} |", case.name, shown.join(" | "));
    Ok(())
}

async fn publish_missed(server: &Server) -> anyhow::Result<()> {
    let mut connection = Connection::open(server.address).await?;
    let request = publish("one", "text/plain", &[b'e'; EVENT_BYTES]);
    for _ in 0..2 * BEHIND {
        connection.send(&request).await?;
    }
    Ok(())
}

/// The id of the event after which [`BEHIND`] events follow.
async fn cursor(server: &Server, topic: &str) -> anyhow::Result<String> {
    let mut connection = Connection::open(server.address).await?;
    let request = format!(
        "GET /events?topic={topic}&last={} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n",
        BEHIND + 1
    );
    let page = String::from_utf8(connection.send(request.as_bytes()).await?.body)?;
    let events = page.split("\"id\":\"").count() - 1;
    if events != BEHIND + 1 {
        bail!("the page has {events} events instead of {}", BEHIND + 1);
    }
    let id = page.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next());
    Ok(id.context("the first event has no id")?.to_owned())
}
