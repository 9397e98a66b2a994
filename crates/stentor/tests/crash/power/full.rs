//! Disks that are full.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::machine::Machine;
use super::shim::Shim;
use crate::harness::{Response, TIMEOUT};

#[tokio::test]
async fn a_full_disk_refuses_events_while_reads_and_deletes_go_on_and_takes_them_again_once_there_is_space()
 {
    let shim = Shim::new();
    let machine = Machine::under(&shim, &[]).await;
    let mut stream = machine.subscribe("/topics/small?from=earliest").await;
    let full = fill(&machine, &shim).await;
    let detail = full.problem(503, "disk-full");
    assert!(detail.contains("free some space"), "{detail}");
    assert!(full.header("retry-after").is_some());
    assert_eq!(machine.history("small").await, ["before"]);
    assert_eq!(machine.subscribe("/topics/large?from=earliest").await.data(20).await.len(), 20);

    assert_eq!(machine.request("DELETE", "/topics/large").send().await.status, 204);
    assert_eq!(machine.history("large").await, [""; 0]);
    shim.leave_space(-1);
    until_taken(&machine, "after").await;
    assert_eq!(stream.data(2).await, ["before", "after"]);
    assert_eq!(machine.stop().await, Some(0));
}

#[tokio::test]
async fn deleting_alone_makes_room_on_a_full_disk() {
    let shim = Shim::new();
    let machine = Machine::under(&shim, &[]).await;
    for round in 0..2 {
        fill(&machine, &shim).await.problem(503, "disk-full");
        assert_eq!(machine.request("DELETE", "/topics/large").send().await.status, 204);
        until_taken(&machine, &format!("after {round}")).await;
    }
    assert_eq!(machine.history("small").await, ["before", "after 0", "before", "after 1"]);
    assert_eq!(machine.stop().await, Some(0));
}

#[tokio::test]
async fn retention_alone_makes_room_on_a_full_disk_after_a_restart() {
    let shim = Shim::new();
    let machine = Machine::under(&shim, &[]).await;
    fill(&machine, &shim).await.problem(503, "disk-full");
    machine.kill().await;
    let machine = Machine::under(&shim, &["--retain", "large=count:1"]).await;
    until_taken(&machine, "after").await;
    assert_eq!(machine.history("small").await, ["before", "after"]);
    assert_eq!(machine.history("large").await.len(), 1);
    assert_eq!(machine.stop().await, Some(0));
}

/// Publishes to `large` until the disk has no room for more, and gives the refusal. Before that there is one event
/// in `small`.
async fn fill(machine: &Machine, shim: &Shim) -> Response {
    shim.leave_space(-1);
    for number in 0..20 {
        let answer = machine.post("/topics/large", "x".repeat(200_000)).await;
        assert_eq!(answer.status, 201, "{number}");
    }
    assert_eq!(machine.post("/topics/small", "before").await.status, 201);
    shim.leave_space(100_000);
    loop {
        let answer = machine.post("/topics/large", "x".repeat(50_000)).await;
        if answer.status != 201 {
            return answer;
        }
    }
}

/// Publishes to `small` until there is room: a refusal holds for a second, so it is asked again.
async fn until_taken(machine: &Machine, data: &str) {
    let taken = timeout(TIMEOUT, async {
        while machine.post("/topics/small", data).await.status != 201 {
            sleep(Duration::from_millis(100)).await;
        }
    });
    taken.await.expect("it takes events again");
}
