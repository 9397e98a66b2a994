//! Disks that fail.

use std::fs;

use super::machine::Machine;
use super::shim::{Rule, Shim};
use crate::harness::EventStream;

/// Asserts that the server has ended by itself because of this, and said what to do.
async fn failed(machine: Machine, reason: &str) {
    let (code, said) = machine.end().await;
    assert_eq!(code, Some(1), "{said}");
    for what in [reason, "look at the disk, then restart"] {
        assert!(said.contains(what), "{what:?} in {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// Reads to the end of a stream, and gives the data of its events.
async fn rest(mut stream: EventStream) -> Vec<String> {
    let mut data = Vec::new();
    while let Ok(Some(event)) = stream.try_next().await {
        if event.name == "message" {
            data.push(event.data);
        }
    }
    data
}

/// A publish meets this fault. It is not acknowledged, nobody gets it, the server stops, and after a restart
/// the log is whole.
async fn a_publish_meets(rule: Rule, reason: &str) {
    let shim = Shim::new();
    let machine = Machine::under(&shim, &[]).await;
    let mut stream = machine.subscribe("/topics/a?from=earliest").await;
    assert_eq!(machine.post("/topics/a", "before").await.status, 201);
    assert_eq!(stream.data(1).await, ["before"]);
    shim.breaks(rule);
    let answer = machine.post("/topics/a", "x".repeat(20_000)).await;
    let detail = answer.problem(503, "storage");
    assert!(detail.contains("restart"), "{detail}");
    assert!(shim.fired() > 0);
    assert_eq!(rest(stream).await, [""; 0]);
    failed(machine, reason).await;

    shim.mend();
    let machine = Machine::under(&shim, &[]).await;
    assert_eq!(machine.post("/topics/a", "after").await.status, 201);
    let history = machine.history("a").await;
    let (first, last) = (history.first().unwrap(), history.last().unwrap());
    assert_eq!((first.as_str(), last.as_str()), ("before", "after"), "{history:?}");
    assert!(history.len() <= 3, "the event without an answer is there once or not at all");
    assert_eq!(machine.stop().await, Some(0));
}

#[tokio::test]
async fn an_event_whose_sync_fails_is_not_acknowledged_and_the_server_stops() {
    a_publish_meets(Rule::fail_sync("-wal"), "in a sync").await;
}

#[tokio::test]
async fn a_sync_that_failed_is_not_tried_again() {
    a_publish_meets(Rule::fail_sync("-wal").once().forgetting(), "in a sync").await;
}

#[tokio::test]
async fn an_event_that_cannot_be_written_is_not_acknowledged_and_the_server_stops() {
    a_publish_meets(Rule::fail_write("-wal"), "in a write").await;
}

#[tokio::test]
async fn an_event_that_is_written_in_part_is_not_acknowledged_and_the_server_stops() {
    a_publish_meets(Rule::fail_write("-wal").after(2).halfway(), "in a write").await;
}

/// The write-ahead log is copied into the file, which nobody has asked for, and meets this fault.
async fn a_checkpoint_meets(rule: Rule) {
    let shim = Shim::new();
    let machine = Machine::under(&shim, &[]).await;
    shim.breaks(rule);
    assert_eq!(machine.post("/topics/a", "one").await.status, 201);
    failed(machine, "disk I/O error").await;
    assert!(shim.fired() > 0);

    shim.mend();
    let machine = Machine::under(&shim, &[]).await;
    assert_eq!(machine.history("a").await, ["one"]);
    assert_eq!(machine.post("/topics/a", "two").await.status, 201);
    assert_eq!(machine.history("a").await, ["one", "two"]);
    assert_eq!(machine.stop().await, Some(0));
}

#[tokio::test]
async fn a_checkpoint_whose_sync_fails_stops_the_server_although_nobody_publishes() {
    a_checkpoint_meets(Rule::fail_sync("log.db")).await;
}

#[tokio::test]
async fn a_checkpoint_that_cannot_write_stops_the_server_although_nobody_publishes() {
    a_checkpoint_meets(Rule::fail_write("log.db")).await;
}

/// Flips the bytes of a log that is closed, from one eighth of it to another, but for the first page.
fn damage(shim: &Shim, eighths: std::ops::Range<usize>) {
    const PAGE: usize = 4096;
    let path = shim.root().join("stentor-data/log.db");
    let mut bytes = fs::read(&path).unwrap();
    let place = |eighth: usize| (bytes.len() * eighth / 8 / PAGE).max(1) * PAGE;
    let (start, end) = (place(eighths.start), place(eighths.end));
    bytes[start..end].iter_mut().for_each(|byte| *byte = !*byte);
    fs::write(path, bytes).unwrap();
}

async fn a_log_with_events(shim: &Shim) {
    let machine = Machine::under(shim, &[]).await;
    for number in 0..50 {
        let data = format!("{number}").repeat(4_000);
        assert_eq!(machine.post("/topics/a", data).await.status, 201);
    }
    assert_eq!(machine.stop().await, Some(0));
}

#[tokio::test]
async fn a_damaged_log_is_not_opened_and_the_reason_is_said() {
    let shim = Shim::new();
    a_log_with_events(&shim).await;
    damage(&shim, 0..8);
    let refused = Machine::on(&shim.root(), &[]).await.err().expect("it is not opened").0;
    assert!(refused.contains("damaged"), "{refused}");
    assert!(refused.contains("backup"), "{refused}");
    assert!(!refused.contains("panicked"), "{refused}");
}

#[tokio::test]
async fn a_damaged_page_that_is_read_stops_the_server() {
    let shim = Shim::new();
    a_log_with_events(&shim).await;
    // Far from what is read at the start: the older half of the events.
    damage(&shim, 2..4);
    let machine = Machine::under(&shim, &[]).await;
    let answer = machine.get("/topics/a?limit=1000").await;
    let detail = answer.problem(503, "storage");
    assert!(detail.contains("look at the disk, then restart"), "{detail}");
    failed(machine, "malformed").await;
}

/// The system forgets what it could not sync but still shows it to whoever reads the file. What is told to
/// be durable after a restart must not stand on that.
#[tokio::test]
async fn after_a_failed_sync_and_a_restart_the_log_survives_a_loss_of_power() {
    let shim = Shim::new();
    let machine = Machine::under(&shim, &[]).await;
    assert_eq!(machine.post("/topics/a", "before").await.status, 201);
    shim.breaks(Rule::fail_sync("-wal").once().forgetting());
    machine.post("/topics/a", "x".repeat(20_000)).await.problem(503, "storage");
    failed(machine, "in a sync").await;

    let machine = Machine::under(&shim, &[]).await;
    let visible = machine.history("a").await;
    assert_eq!(machine.post("/topics/a", "after").await.status, 201);
    let root = shim.after_a_power_failure();
    machine.kill().await;
    let machine = Machine::on(root.path(), &[]).await.unwrap();
    assert_eq!(machine.history("a").await, [&visible[..], &["after".to_owned()]].concat());
}

/// The log is put in order while the server stops, as it was asked to, and meets this fault. Who asks for a stop
/// is told; what was acknowledged is there, after a loss of power too.
async fn a_stop_meets(rule: Rule, reason: &str) {
    let shim = Shim::new();
    let machine = Machine::under(&shim, &[]).await;
    for data in ["one", "two"] {
        assert_eq!(machine.post("/topics/a", data).await.status, 201);
    }
    shim.breaks(rule);
    machine.ask_to_stop().await;
    failed(machine, reason).await;
    assert!(shim.fired() > 0);

    let root = shim.after_a_power_failure();
    let machine = Machine::on(root.path(), &[]).await.unwrap();
    assert_eq!(machine.history("a").await, ["one", "two"]);
    machine.kill().await;
    shim.mend();
    let machine = Machine::under(&shim, &[]).await;
    assert_eq!(machine.history("a").await, ["one", "two"]);
    assert_eq!(machine.post("/topics/a", "three").await.status, 201);
    assert_eq!(machine.stop().await, Some(0));
}

#[tokio::test]
async fn a_stop_during_which_a_sync_fails_says_so_and_loses_nothing() {
    a_stop_meets(Rule::fail_sync("-wal"), "in a sync").await;
    a_stop_meets(Rule::fail_sync("log.db"), "in a sync").await;
}

#[tokio::test]
async fn a_stop_does_not_try_a_failed_sync_again() {
    a_stop_meets(Rule::fail_sync("-wal").once().forgetting(), "in a sync").await;
    a_stop_meets(Rule::fail_sync("log.db").once().forgetting(), "in a sync").await;
}

#[tokio::test]
async fn a_stop_during_which_a_write_fails_says_so_and_loses_nothing() {
    a_stop_meets(Rule::fail_write("log.db"), "in a write").await;
}
