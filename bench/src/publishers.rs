//! Concurrent publishers, each with one request at a time.

use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

use crate::http::{Connection, publish};
use crate::server::{Server, busy_seconds};
use crate::stats::Times;

/// Bytes of the data of a small event.
pub(crate) const EVENT_BYTES: usize = 100;
/// Number of topics that the publishers share.
pub(crate) const TOPICS: usize = 10;

/// Time of a measurement.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// Result of a measurement.
pub(crate) struct PublishResult {
    pub(crate) events_per_second: f64,
    /// From the first byte of a request to the last byte of its response.
    pub(crate) acknowledged: Times,
    /// Mean number of events per commit.
    pub(crate) batch: f64,
    /// CPU time of the server as a share of its core.
    pub(crate) server_busy: f64,
    /// CPU time of this process as a share of its core.
    pub(crate) own_busy: f64,
}

/// Measures `count` concurrent publishers of small events.
pub(crate) async fn publish_with(
    server: &Server,
    count: usize,
    span: Span,
) -> anyhow::Result<PublishResult> {
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
    Ok(PublishResult {
        events_per_second: acknowledged.len() as f64 / span.measured.as_secs_f64(),
        acknowledged,
        batch: (events_after - events) / (commits_after - commits).max(1.0),
        server_busy: server_busy / seconds,
        own_busy: own_busy / seconds,
    })
}

/// Returns the total number of events and of commits of a server.
pub(crate) async fn counts(server: &Server) -> anyhow::Result<(f64, f64)> {
    let events = server.metric("stentor_published_events_total").await?;
    Ok((events, server.metric("stentor_commits_total").await?))
}

/// Runs one publisher from now until `until`. Returns the times of the requests after `from`.
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
        let response = connection.send(&request).await?;
        if response.status != 201 {
            bail!("{}: {}", response.status, String::from_utf8_lossy(&response.body));
        }
        let now = Instant::now();
        if now >= from && now < until {
            times.add(now - sent);
        }
    }
}
