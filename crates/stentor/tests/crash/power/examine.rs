//! What a server makes of a directory that a power failure left.

use std::path::Path;

use stentor_hub::Cursor;

use super::ledger::{Kind, Memory, Op, Seen};
use super::machine::Machine;
use super::publisher::send;
use super::verdict::{Found, Promise, Verdict};

/// Opens the log in a directory with the real binary and complains about all that is not as promised.
pub async fn examine(root: &Path, memory: &Memory, cut: u64, promise: Promise) -> Vec<String> {
    let machine = match Machine::on(root, arguments(promise)).await {
        Ok(machine) => machine,
        Err(refused) => return vec![format!("not opened: {}", refused.0)],
    };
    let new = publish(&machine, "first").await;
    let log = read_all(&machine, new).await;
    let verdict = Verdict::of(memory, cut, promise, &log);
    if new.offset <= verdict.newest_known() {
        return vec![format!("the offset {} was given out twice", new.offset)];
    }
    let mut complaints = Vec::new();
    for seen in &memory.readers {
        let known: Vec<Seen> = seen.iter().filter(|seen| seen.at <= cut).cloned().collect();
        if let (Some(last), Some(has_lost)) = (known.last(), verdict.has_lost(&known)) {
            complaints.extend(resume(&machine, last.id, has_lost, &log, new).await);
        }
    }
    let unanswered = memory.publishers.iter().flatten();
    let unanswered = unanswered.filter(|op| op.asked <= cut && op.was_answered_by(cut).is_none());
    for op in unanswered {
        complaints.extend(repeat(&machine, op, &log).await);
    }
    machine.kill().await;
    complaints.extend(verdict.complaints());
    complaints
}

pub fn arguments(promise: Promise) -> &'static [&'static str] {
    match promise {
        Promise::All => &["--durability", "fsync"],
        Promise::Prefix => &["--durability", "os"],
    }
}

/// Publishes an event that stands behind all that was there.
async fn publish(machine: &Machine, data: &str) -> Cursor {
    let answer = machine.post("/topics/keep/new", data).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["id"].as_str().unwrap().parse().unwrap()
}

/// Everything before the new event.
async fn read_all(machine: &Machine, new: Cursor) -> Vec<Found> {
    let request = machine.request("GET", "/events?topic=**&from=earliest");
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

/// A reader comes back. It gets what is behind its id, and is told a gap if it has lost something, and only
/// then.
async fn resume(
    machine: &Machine,
    last: Cursor,
    has_lost: bool,
    log: &[Found],
    new: Cursor,
) -> Vec<String> {
    let mut stream = machine
        .request("GET", "/events?topic=keep/**&envelope=json")
        .header("Last-Event-ID", &last.to_string())
        .open()
        .await;
    let opening = stream.next_any().await.expect("an opening");
    let mut complaints = Vec::new();
    match (opening.name.as_str(), has_lost) {
        ("stentor.gap", false) => complaints.push(format!("a false gap: {}", opening.data)),
        ("stentor.cursor", true) => complaints.push(format!("a gap was not told after {last}")),
        _ => {}
    }
    let behind = log.iter().filter(|found| found.topic.starts_with("keep/"));
    let behind = behind.filter(|found| found.id.offset > last.offset).map(|found| found.id);
    let expected: Vec<Cursor> = behind.chain([new]).collect();
    let mut got = Vec::new();
    while got.last() != Some(&new) {
        let event = stream.next().await.expect("a stream of many topics does not end");
        got.push(event.id.parse().unwrap());
    }
    if got != expected {
        complaints.push(format!("behind {last} came {got:?} and not {expected:?}"));
    }
    complaints
}

/// A publisher that had no answer asks again with its key: its event is there once.
async fn repeat(machine: &Machine, op: &Op, log: &[Found]) -> Vec<String> {
    let Kind::Single { sent, key: Some(_), .. } = &op.kind else { return Vec::new() };
    let answered = send(&machine.address, &op.kind, Path::new("")).await.expect("an answer");
    let there = machine.history(&sent.topic).await;
    let times = there.iter().filter(|data| **data == sent.data).count();
    let before = log.iter().find(|found| found.data.as_ref() == Some(&sent.data));
    let is_repeat = before.is_none_or(|found| answered.ids.is_some_and(|ids| ids.0 == found.id));
    if times == 1 && is_repeat {
        Vec::new()
    } else {
        vec![format!("a repeat: {times} times there")]
    }
}
