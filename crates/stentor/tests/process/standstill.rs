//! A server process that is stopped for a while, or asked to end.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::harness::{Server, TIMEOUT};

#[tokio::test]
async fn a_process_that_was_stopped_does_not_end_the_topics_of_live_producers() {
    let server = Server::start().await;
    for number in 0..20 {
        server.publish(&format!("/topics/job/{number}?lease=2"), "started").await;
    }
    server.signal("STOP").await;
    // The time for which the process is stopped is what this test is about.
    sleep(Duration::from_secs(5)).await;
    server.signal("CONT").await;
    for number in 0..20 {
        server.publish(&format!("/topics/job/{number}"), "alive").await;
    }
    // A producer that stays silent is lost as before.
    let mut reader = server.subscribe("/topics/job/0?from=earliest").await;
    let rest = reader.rest().await;
    assert_eq!(rest.last().unwrap().name, "stentor.end");
}

#[tokio::test]
async fn sigterm_ends_an_open_upload_with_the_number_of_its_events() {
    let mut server = Server::start().await;
    let mut upload = server.upload("/topics/t", "application/x-ndjson").await;
    upload.send("1\n2\n3\nincompl").await;
    let mut reader = server.subscribe("/topics/t?from=earliest").await;
    assert_eq!(reader.data(3).await, ["1", "2", "3"]);
    server.signal("TERM").await;
    let response = upload.response().await;
    response.problem(503, "draining");
    assert!(response.header("retry-after").is_some(), "{response:?}");
    assert_eq!(response.json()["published"], 3);
    drop(upload);
    assert_eq!(server.exit_code().await, Some(0));
    server.start_again().await;
    assert_eq!(server.page("/topics/t").await["events"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn new_connections_are_refused_while_a_server_finishes_open_uploads() {
    let mut server = Server::start().await;
    let mut upload = server.upload("/topics/t", "application/x-ndjson").await;
    upload.send("1\n").await;
    let mut reader = server.subscribe("/topics/t?from=earliest").await;
    assert_eq!(reader.data(1).await, ["1"]);
    server.signal("TERM").await;
    // The stream ends when the server has stopped to accept.
    reader.rest().await;
    let refused = timeout(TIMEOUT, async {
        while TcpStream::connect(&server.address).await.is_ok() {
            yield_now().await;
        }
    });
    refused.await.expect("refused in time");
    upload.response().await.problem(503, "draining");
    drop(upload);
    assert_eq!(server.exit_code().await, Some(0));
}
