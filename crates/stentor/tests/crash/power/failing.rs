//! Disks that fail.

use std::fs;

use super::server::TestServer;
use super::shim::{Rule, Shim};
use crate::harness::EventStream;

/// Asserts that the server has exited for this reason, without a signal, and that its stderr says what to do.
async fn expect_failure(server: TestServer, reason: &str) {
    let (code, stderr) = server.end().await;
    assert_eq!(code, Some(1), "{stderr}");
    for what in [reason, "check the disk, then restart"] {
        assert!(stderr.contains(what), "{what:?} in {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// Reads to the end of a stream. Returns the data of its events.
async fn read_to_end(mut stream: EventStream) -> Vec<String> {
    let mut data = Vec::new();
    while let Ok(Some(event)) = stream.try_next().await {
        if event.name == "message" {
            data.push(event.data);
        }
    }
    data
}

/// Publishes with this fault. The event is not acknowledged and not delivered, the server stops, and after a restart
/// the log is intact.
async fn publish_with_fault(rule: Rule, reason: &str) {
    let shim = Shim::new();
    let server = TestServer::with_shim(&shim, &[]).await;
    let mut stream = server.subscribe("/topics/a?from=earliest").await;
    assert_eq!(server.post("/topics/a", "before").await.status, 201);
    assert_eq!(stream.data(1).await, ["before"]);
    shim.set_fault(rule);
    let response = server.post("/topics/a", "x".repeat(20_000)).await;
    let detail = response.problem(503, "storage");
    assert!(detail.contains("restart"), "{detail}");
    assert!(shim.fired() > 0);
    assert_eq!(read_to_end(stream).await, [""; 0]);
    expect_failure(server, reason).await;

    shim.clear_faults();
    let server = TestServer::with_shim(&shim, &[]).await;
    assert_eq!(server.post("/topics/a", "after").await.status, 201);
    let history = server.history("a").await;
    let (first, last) = (history.first().unwrap(), history.last().unwrap());
    assert_eq!((first.as_str(), last.as_str()), ("before", "after"), "{history:?}");
    assert!(history.len() <= 3, "the log has the event without a response at most once");
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn an_event_whose_sync_fails_is_not_acknowledged_and_the_server_stops() {
    publish_with_fault(Rule::fail_sync("-wal"), "in a sync").await;
}

#[tokio::test]
async fn a_failed_sync_is_not_repeated() {
    publish_with_fault(Rule::fail_sync("-wal").once().forgetting(), "in a sync").await;
}

#[tokio::test]
async fn an_event_that_cannot_be_written_is_not_acknowledged_and_the_server_stops() {
    publish_with_fault(Rule::fail_write("-wal"), "in a write").await;
}

#[tokio::test]
async fn an_event_that_is_written_in_part_is_not_acknowledged_and_the_server_stops() {
    publish_with_fault(Rule::fail_write("-wal").after(2).halfway(), "in a write").await;
}

/// Waits for a checkpoint with this fault. The server starts it without a request.
async fn checkpoint_with_fault(rule: Rule) {
    let shim = Shim::new();
    let server = TestServer::with_shim(&shim, &[]).await;
    shim.set_fault(rule);
    assert_eq!(server.post("/topics/a", "one").await.status, 201);
    expect_failure(server, "disk I/O error").await;
    assert!(shim.fired() > 0);

    shim.clear_faults();
    let server = TestServer::with_shim(&shim, &[]).await;
    assert_eq!(server.history("a").await, ["one"]);
    assert_eq!(server.post("/topics/a", "two").await.status, 201);
    assert_eq!(server.history("a").await, ["one", "two"]);
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn a_checkpoint_whose_sync_fails_stops_the_server_without_a_publish() {
    checkpoint_with_fault(Rule::fail_sync("log.db")).await;
}

#[tokio::test]
async fn a_checkpoint_that_cannot_write_stops_the_server_without_a_publish() {
    checkpoint_with_fault(Rule::fail_write("log.db")).await;
}

/// Flips all bytes of a closed log from one eighth of it to another, except the first page.
fn damage(shim: &Shim, eighths: std::ops::Range<usize>) {
    const PAGE: usize = 4096;
    let path = shim.root().join("stentor-data/log.db");
    let mut bytes = fs::read(&path).unwrap();
    let place = |eighth: usize| (bytes.len() * eighth / 8 / PAGE).max(1) * PAGE;
    let (start, end) = (place(eighths.start), place(eighths.end));
    bytes[start..end].iter_mut().for_each(|byte| *byte = !*byte);
    fs::write(path, bytes).unwrap();
}

async fn create_log_with_events(shim: &Shim) {
    let server = TestServer::with_shim(shim, &[]).await;
    for number in 0..50 {
        let data = format!("{number}").repeat(4_000);
        assert_eq!(server.post("/topics/a", data).await.status, 201);
    }
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn a_damaged_log_is_not_opened_and_the_reason_is_reported() {
    let shim = Shim::new();
    create_log_with_events(&shim).await;
    damage(&shim, 0..8);
    let refused = TestServer::open(&shim.root(), &[]).await.err().expect("it is not opened").0;
    assert!(refused.contains("damaged"), "{refused}");
    assert!(refused.contains("backup"), "{refused}");
    assert!(!refused.contains("panicked"), "{refused}");
}

#[tokio::test]
async fn events_on_damaged_pages_are_not_served_and_the_reader_gets_a_gap() {
    let shim = Shim::new();
    create_log_with_events(&shim).await;
    // The older half of the events, which is not read at the start.
    damage(&shim, 2..4);
    let server = TestServer::with_shim(&shim, &[]).await;
    let (mut numbers, mut gaps) = (Vec::new(), Vec::new());
    let mut path = "/topics/a?from=earliest&limit=1000".to_owned();
    loop {
        let response = server.get(&path).await;
        assert_eq!(response.status, 200);
        let page = response.json();
        numbers.extend(page["events"].as_array().unwrap().iter().map(number_of));
        gaps.extend(page["gap"]["reason"].as_str().map(str::to_owned));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/topics/a?after={next}&limit=1000");
    }
    assert!(numbers.is_sorted() && (1..50).contains(&numbers.len()), "{numbers:?}");
    assert!(!gaps.is_empty() && gaps.iter().all(|gap| gap == "damaged"), "{gaps:?}");
    assert_eq!(server.post("/topics/a", "after").await.status, 201);
    assert_eq!(server.stop().await, Some(0));
}

/// Returns the number of an event of [`create_log_with_events`], whose data must be complete.
fn number_of(event: &serde_json::Value) -> usize {
    let data = event["data"].as_str().unwrap();
    let number = (0..50).find(|number| data == format!("{number}").repeat(4_000));
    number.unwrap_or_else(|| panic!("wrong data: {}…", &data[..data.len().min(20)]))
}

/// After a failed sync, Linux drops the data but still returns it to readers of the file. After a restart the server
/// must not report such data as durable.
#[tokio::test]
async fn after_a_failed_sync_and_a_restart_the_log_survives_a_power_failure() {
    let shim = Shim::new();
    let server = TestServer::with_shim(&shim, &[]).await;
    assert_eq!(server.post("/topics/a", "before").await.status, 201);
    shim.set_fault(Rule::fail_sync("-wal").once().forgetting());
    server.post("/topics/a", "x".repeat(20_000)).await.problem(503, "storage");
    expect_failure(server, "in a sync").await;

    let server = TestServer::with_shim(&shim, &[]).await;
    let visible = server.history("a").await;
    assert_eq!(server.post("/topics/a", "after").await.status, 201);
    let root = shim.after_a_power_failure();
    server.kill().await;
    let server = TestServer::open(root.path(), &[]).await.unwrap();
    assert_eq!(server.history("a").await, [&visible[..], &["after".to_owned()]].concat());
}

/// Stops the server with this fault, in the maintenance that it does at the end. It must report the error. Everything
/// acknowledged must survive, even a power failure.
async fn stop_with_fault(rule: Rule, reason: &str) {
    let shim = Shim::new();
    let server = TestServer::with_shim(&shim, &[]).await;
    for data in ["one", "two"] {
        assert_eq!(server.post("/topics/a", data).await.status, 201);
    }
    shim.set_fault(rule);
    server.terminate().await;
    expect_failure(server, reason).await;
    assert!(shim.fired() > 0);

    let root = shim.after_a_power_failure();
    let server = TestServer::open(root.path(), &[]).await.unwrap();
    assert_eq!(server.history("a").await, ["one", "two"]);
    server.kill().await;
    shim.clear_faults();
    let server = TestServer::with_shim(&shim, &[]).await;
    assert_eq!(server.history("a").await, ["one", "two"]);
    assert_eq!(server.post("/topics/a", "three").await.status, 201);
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn a_stop_with_a_failed_sync_reports_it_and_loses_nothing() {
    stop_with_fault(Rule::fail_sync("-wal"), "in a sync").await;
    stop_with_fault(Rule::fail_sync("log.db"), "in a sync").await;
}

#[tokio::test]
async fn a_stop_does_not_repeat_a_failed_sync() {
    stop_with_fault(Rule::fail_sync("-wal").once().forgetting(), "in a sync").await;
    stop_with_fault(Rule::fail_sync("log.db").once().forgetting(), "in a sync").await;
}

#[tokio::test]
async fn a_stop_with_a_failed_write_reports_it_and_loses_nothing() {
    stop_with_fault(Rule::fail_write("log.db"), "in a write").await;
}
