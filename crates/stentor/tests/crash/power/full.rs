//! Disks that are full.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::server::TestServer;
use super::shim::Shim;
use crate::harness::{Response, TIMEOUT};

#[tokio::test]
async fn a_full_disk_refuses_events_until_there_is_space_while_reads_and_deletes_continue() {
    let shim = Shim::new();
    let server = TestServer::with_shim(&shim, &[]).await;
    let mut stream = server.subscribe("/topics/small?from=earliest").await;
    let full = fill(&server, &shim).await;
    let detail = full.problem(503, "disk-full");
    assert!(detail.contains("free some space"), "{detail}");
    assert!(full.header("retry-after").is_some());
    assert_eq!(server.history("small").await, ["before"]);
    assert_eq!(server.subscribe("/topics/large?from=earliest").await.data(20).await.len(), 20);

    assert_eq!(server.request("DELETE", "/topics/large").send().await.status, 204);
    assert_eq!(server.history("large").await, [""; 0]);
    shim.set_free_space(-1);
    publish_until_accepted(&server, "after").await;
    assert_eq!(stream.data(2).await, ["before", "after"]);
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn deleting_is_enough_to_make_room_on_a_full_disk() {
    let shim = Shim::new();
    let server = TestServer::with_shim(&shim, &[]).await;
    for round in 0..2 {
        fill(&server, &shim).await.problem(503, "disk-full");
        assert_eq!(server.request("DELETE", "/topics/large").send().await.status, 204);
        publish_until_accepted(&server, &format!("after {round}")).await;
    }
    assert_eq!(server.history("small").await, ["before", "after 0", "before", "after 1"]);
    assert_eq!(server.stop().await, Some(0));
}

#[tokio::test]
async fn retention_is_enough_to_make_room_on_a_full_disk_after_a_restart() {
    let shim = Shim::new();
    let server = TestServer::with_shim(&shim, &[]).await;
    fill(&server, &shim).await.problem(503, "disk-full");
    server.kill().await;
    let server = TestServer::with_shim(&shim, &["--retain", "large=count:1"]).await;
    publish_until_accepted(&server, "after").await;
    assert_eq!(server.history("small").await, ["before", "after"]);
    let trimmed = timeout(TIMEOUT, async {
        // The small event can be accepted before the first trim, in the space that was left.
        while server.history("large").await.len() != 1 {
            sleep(Duration::from_millis(100)).await;
        }
    });
    trimmed.await.expect("retention trims `large` to one event");
    assert_eq!(server.stop().await, Some(0));
}

/// The disk becomes full when offsets are reserved, which `os` syncs. A refused event is not stored, an accepted one
/// is, and the log continues when there is space.
#[tokio::test]
async fn a_disk_that_is_full_when_offsets_are_reserved_is_reported_truly() {
    /// The number of events at which more offsets are reserved.
    const RESERVED_AT: usize = 32_768;
    const PAGE: i64 = 4096 + 24;
    let mut refused = 0;
    for pages in 3..=6 {
        let shim = Shim::new();
        let server = TestServer::with_shim(&shim, &["--durability", "os"]).await;
        let lines = "x\n".repeat(RESERVED_AT - 1);
        let upload =
            server.request("POST", "/topics/old").header("Content-Type", "application/x-ndjson");
        assert_eq!(upload.body(lines).send().await.status, 201);
        shim.set_free_space(pages * PAGE);
        let mut stored = Vec::new();
        let response = server.post("/topics/new", "first").await;
        if response.status == 201 {
            stored.push("first".to_owned());
        } else {
            response.problem(503, "disk-full");
            refused += 1;
        }
        assert_eq!(server.history("new").await, stored, "{pages} pages");
        shim.set_free_space(-1);
        let accepted = timeout(TIMEOUT, async {
            while server.post("/topics/new", "after").await.status != 201 {
                sleep(Duration::from_millis(100)).await;
            }
        });
        accepted.await.expect("events are accepted again");
        stored.push("after".to_owned());
        assert_eq!(server.history("new").await, stored, "{pages} pages");
        assert_eq!(server.stop().await, Some(0));
    }
    assert!(refused > 0, "the disk was full");
}

/// Publishes to `large` until the disk is full. Returns the refusal. Before that it publishes one event to `small`.
async fn fill(server: &TestServer, shim: &Shim) -> Response {
    shim.set_free_space(-1);
    for number in 0..20 {
        let response = server.post("/topics/large", "x".repeat(200_000)).await;
        assert_eq!(response.status, 201, "{number}");
    }
    assert_eq!(server.post("/topics/small", "before").await.status, 201);
    shim.set_free_space(100_000);
    loop {
        let response = server.post("/topics/large", "x".repeat(50_000)).await;
        if response.status != 201 {
            return response;
        }
    }
}

/// Publishes to `small` until it is accepted. The server refuses everything for a second after the disk was full.
async fn publish_until_accepted(server: &TestServer, data: &str) {
    let accepted = timeout(TIMEOUT, async {
        while server.post("/topics/small", data).await.status != 201 {
            sleep(Duration::from_millis(100)).await;
        }
    });
    accepted.await.expect("events are accepted again");
}
