//! Publishers, each with one request under way at a time.

use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

use crate::http::{Connection, publish};
use crate::measure::Times;
use crate::server::{Server, busy_seconds};

/// The data of a small event.
pub(crate) const EVENT_BYTES: usize = 100;
/// How many topics the publishers share.
pub(crate) const TOPICS: usize = 10;

/// How long publishers publish.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What publishers saw.
pub(crate) struct Load {
    pub(crate) events_per_second: f64,
    /// From the first byte of a request to the last one of its answer.
    pub(crate) acknowledged: Times,
    /// Events of one commit, on the average.
    pub(crate) batch: f64,
    /// Shares of their cores.
    pub(crate) server_busy: f64,
    pub(crate) own_busy: f64,
}

/// Has so many publishers publish small events.
pub(crate) async fn publishers(server: &Server, count: usize, span: Span) -> anyhow::Result<Load> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        connections.push(Connection::open(server.address).await?);
    }
    let (events, commits) = counts(server).await?;
    let (server_busy, own_busy) = (server.busy_seconds()?, busy_seconds("self")?);
    let begun = Instant::now();
    let from = begun + span.warm_up;
    let until = from + span.measured;
    let tasks: Vec<_> = connections
        .into_iter()
        .enumerate()
        .map(|(number, connection)| tokio::spawn(publisher(connection, number, from, until)))
        .collect();
    let mut acknowledged = Times::default();
    for task in tasks {
        acknowledged.extend(task.await??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let (server_busy, own_busy) =
        (server.busy_seconds()? - server_busy, busy_seconds("self")? - own_busy);
    let (events_after, commits_after) = counts(server).await?;
    Ok(Load {
        events_per_second: acknowledged.len() as f64 / span.measured.as_secs_f64(),
        acknowledged,
        batch: (events_after - events) / (commits_after - commits).max(1.0),
        server_busy: server_busy / seconds,
        own_busy: own_busy / seconds,
    })
}

/// Events and commits of a server so far.
pub(crate) async fn counts(server: &Server) -> anyhow::Result<(f64, f64)> {
    let events = server.metric("stentor_published_events_total").await?;
    Ok((events, server.metric("stentor_commits_total").await?))
}

/// One publisher; returns what it measured within the span.
async fn publisher(
    mut connection: Connection,
    number: usize,
    from: Instant,
    until: Instant,
) -> anyhow::Result<Times> {
    let topic = format!("bench/{}", number % TOPICS);
    let request = publish(&topic, "text/plain", &[b'e'; EVENT_BYTES]);
    let mut times = Times::default();
    loop {
        let sent = Instant::now();
        if sent >= until {
            return Ok(times);
        }
        let answer = connection.ask(&request).await?;
        if answer.status != 201 {
            bail!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        let now = Instant::now();
        if now >= from && now < until {
            times.add(now - sent);
        }
    }
}
