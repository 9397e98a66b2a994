//! Opens a directory in its state after a power failure, and checks what the server recovers.

use std::path::Path;

use stentor_hub::Cursor;

use super::check::{Check, Found, Guarantee};
use super::history::{History, Kind, Op, Seen};
use super::publisher::send;
use super::server::TestServer;

/// Opens the log in a directory with the real binary. Returns the violations.
pub async fn examine(
    root: &Path,
    history: &History,
    cut: u64,
    guarantee: Guarantee,
) -> Vec<String> {
    let server = match TestServer::open(root, arguments(guarantee)).await {
        Ok(server) => server,
        Err(refused) => return vec![format!("the log was not opened: {}", refused.0)],
    };
    let new = publish(&server, "first").await;
    let log = read_all(&server, new).await;
    let check = Check::of(history, cut, guarantee, &log);
    if new.offset <= check.newest_known() {
        return vec![format!("offset {} was used twice", new.offset)];
    }
    let mut violations = Vec::new();
    for seen in &history.readers {
        let known: Vec<Seen> = seen.iter().filter(|seen| seen.at <= cut).cloned().collect();
        if let (Some(last), Some(has_lost)) = (known.last(), check.has_lost(&known)) {
            violations.extend(resume(&server, last.id, has_lost, &log, new).await);
        }
    }
    let unacknowledged = history.publishers.iter().flatten();
    let unacknowledged =
        unacknowledged.filter(|op| op.requested <= cut && op.acknowledged_by(cut).is_none());
    for op in unacknowledged {
        violations.extend(repeat(&server, op, &log).await);
    }
    server.kill().await;
    violations.extend(check.violations());
    violations
}

pub fn arguments(guarantee: Guarantee) -> &'static [&'static str] {
    match guarantee {
        Guarantee::NoLoss => &["--durability", "fsync"],
        Guarantee::Prefix => &["--durability", "os"],
    }
}

/// Publishes an event, which becomes the last one of the log.
async fn publish(server: &TestServer, data: &str) -> Cursor {
    let response = server.post("/topics/keep/new", data).await;
    assert_eq!(response.status, 201, "{response:?}");
    response.json()["id"].as_str().unwrap().parse().unwrap()
}

/// Reads all records before the new event.
async fn read_all(server: &TestServer, new: Cursor) -> Vec<Found> {
    let request = server.request("GET", "/events?topic=**&from=earliest");
    let mut stream = request.header("Accept", "application/x-ndjson").open().await;
    let mut log = Vec::new();
    loop {
        let line = stream.line().await.expect("a stream of all topics does not end");
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let (kind, topic) = (text("type"), text("topic"));
        if kind == "stentor.cursor" || text("reason") == "deleted" {
            continue;
        }
        let id: Cursor = text("id").parse().unwrap();
        if id == new {
            return log;
        }
        let data = (kind == "message").then(|| text("data"));
        log.push(Found { id, topic, data });
    }
}

/// Resumes a reader. It must get everything after its id, and a gap exactly if it has lost something.
async fn resume(
    server: &TestServer,
    last: Cursor,
    has_lost: bool,
    log: &[Found],
    new: Cursor,
) -> Vec<String> {
    let mut stream = server
        .request("GET", "/events?topic=keep/**&envelope=json")
        .header("Last-Event-ID", &last.to_string())
        .open()
        .await;
    let opening = stream.next_any().await.expect("a first event");
    let mut violations = Vec::new();
    match (opening.name.as_str(), has_lost) {
        ("stentor.gap", false) => violations.push(format!("a false gap: {}", opening.data)),
        ("stentor.cursor", true) => violations.push(format!("a gap after {last} was not reported")),
        _ => {}
    }
    let later = log.iter().filter(|found| found.topic.starts_with("keep/"));
    let later = later.filter(|found| found.id.offset > last.offset).map(|found| found.id);
    let expected: Vec<Cursor> = later.chain([new]).collect();
    let mut got = Vec::new();
    while got.last() != Some(&new) {
        let event = stream.next().await.expect("a stream of many topics does not end");
        got.push(event.id.parse().unwrap());
    }
    if got != expected {
        violations.push(format!("after {last}, {got:?} arrived instead of {expected:?}"));
    }
    violations
}

/// Repeats a request that got no response, with its key. The log must then have its event once.
async fn repeat(server: &TestServer, op: &Op, log: &[Found]) -> Vec<String> {
    let Kind::Single { sent, key: Some(_), .. } = &op.kind else { return Vec::new() };
    let acknowledged = send(&server.address, &op.kind, Path::new("")).await.expect("a response");
    let history = server.history(&sent.topic).await;
    let times = history.iter().filter(|data| **data == sent.data).count();
    let before = log.iter().find(|found| found.data.as_ref() == Some(&sent.data));
    let is_repeat =
        before.is_none_or(|found| acknowledged.ids.is_some_and(|ids| ids.0 == found.id));
    if times == 1 && is_repeat {
        Vec::new()
    } else {
        vec![format!("after a repeat the log has the event {times} times")]
    }
}
