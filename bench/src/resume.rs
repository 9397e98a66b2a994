//! How long a reader waits that comes back 20 events behind.

use anyhow::{Context, bail};
use tokio::time::Instant;

use crate::fill::fill;
use crate::http::{Connection, publish};
use crate::load::EVENT_BYTES;
use crate::measure::{Times, thousands};
use crate::reader::Reader;
use crate::server::Server;
use crate::{Bench, disk};

/// How far behind the reader is.
const BEHIND: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Events of the short and of the long log.
    #[arg(long, value_delimiter = ',', default_value = "1000,1000000")]
    events: Vec<u64>,

    /// Times that a reader comes back in each repeat.
    #[arg(long, default_value_t = 200)]
    times: usize,
}

/// What a reader asks for, of which log.
struct Case {
    name: &'static str,
    topic: &'static str,
    many: bool,
    /// Whether what it has missed was published since the server was started.
    fresh: bool,
    /// Whether all ask for the same, so that all but the first are given the answer to that one.
    alike: bool,
}

const CASES: [Case; 5] = [
    Case { name: "one topic", topic: "one", many: false, fresh: false, alike: false },
    Case { name: "1 of 100 topics", topic: "t/0", many: true, fresh: false, alike: false },
    Case { name: "all 100, by `t/*`", topic: "t/*", many: true, fresh: false, alike: false },
    Case { name: "one topic, all alike", topic: "one", many: false, fresh: false, alike: true },
    Case {
        name: "one topic, events of this run",
        topic: "one",
        many: false,
        fresh: true,
        alike: true,
    },
];

impl Case {
    /// What is asked in one turn. A topic that nobody has written to makes it a question of its own.
    fn target(&self, turn: usize) -> String {
        let other = if self.alike { String::new() } else { format!("&topic=none/{turn}") };
        format!("/events?topic={}{other}", self.topic)
    }
}

/// The two servers of one length of log.
struct Pair {
    one: Server,
    many: Server,
}

pub(crate) async fn run(bench: &Bench, args: &Args) -> anyhow::Result<()> {
    let dir = bench.temp_dir()?;
    println!("- sync of one appended page, p50 / p99: {}", disk::sync_times(dir.path())?.show());
    println!(
        "- from connecting to the first missed event, {} times each\n",
        args.times * bench.repeats
    );
    let mut pairs = Vec::new();
    for events in &args.events {
        let place = |kind: &str| dir.path().join(format!("{kind}-{events}"));
        fill(&place("one"), &["one".to_owned()], *events).await?;
        fill(&place("many"), &many(), *events).await?;
        pairs.push(Pair {
            one: Server::start(&bench.stentor, &place("one"), "fsync")?,
            many: Server::start(&bench.stentor, &place("many"), "fsync")?,
        });
    }
    let lengths = args
        .events
        .iter()
        .map(|events| format!(" {} events, p50 / p99 |", thousands(*events as f64)));
    println!("| asked for |{} ratio of p50 |", lengths.collect::<String>());
    println!("| --- |{} ---: |", " ---: |".repeat(pairs.len()));
    for case in &CASES {
        measure(case, &pairs, args.times * bench.repeats).await?;
    }
    Ok(())
}

/// The names of 100 topics, in the order in which they get events; the first comes more often, so that
/// it has enough of them in a short log too.
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
            missed(server).await?;
        }
        cursors.push(cursor(server, case.topic).await?);
    }
    let mut waits = vec![Times::default(); servers.len()];
    for turn in 0..WARM_UP + times {
        let target = case.target(turn);
        // In turn, so that whatever disturbs the machine disturbs both.
        for ((server, cursor), waits) in servers.iter().zip(&cursors).zip(&mut waits) {
            let begun = Instant::now();
            let mut reader = Reader::open(server.address, &target, Some(cursor)).await?;
            let mut come = 0;
            while come == 0 {
                if !reader.read(|_| come += 1).await? {
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

async fn missed(server: &Server) -> anyhow::Result<()> {
    let mut connection = Connection::open(server.address).await?;
    let request = publish("one", "text/plain", &[b'e'; EVENT_BYTES]);
    for _ in 0..2 * BEHIND {
        connection.ask(&request).await?;
    }
    Ok(())
}

/// The id of the event that has so many behind it.
async fn cursor(server: &Server, topic: &str) -> anyhow::Result<String> {
    let mut connection = Connection::open(server.address).await?;
    let request = format!(
        "GET /events?topic={topic}&last={} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\r\n",
        BEHIND + 1
    );
    let page = String::from_utf8(connection.ask(request.as_bytes()).await?.body)?;
    let events = page.split("\"id\":\"").count() - 1;
    if events != BEHIND + 1 {
        bail!("{events} events instead of {}", BEHIND + 1);
    }
    let id = page.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next());
    Ok(id.context("an event has an id")?.to_owned())
}
