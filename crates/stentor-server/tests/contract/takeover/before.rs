//! Requests before the request for a stream, on one connection, are answered first, completely and in order.

use super::streams_on;
use crate::harness::{Connection, Server, StreamMode, get, post};

const MIB: usize = 1 << 20;

/// Returns the text of a request for a page of history.
fn page(path: &str) -> String {
    get(path).replace("\r\n\r\n", "\r\nAccept: application/json\r\n\r\n")
}

/// Reads the responses to `count` publishes, and returns the ids.
async fn published(connection: &mut Connection, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..count {
        let response = connection.response().await;
        assert_eq!(response.status, 201, "{number}: {response:?}");
        ids.push(response.json()["id"].as_str().unwrap().to_owned());
    }
    ids
}

/// Asserts that the connection continues as a stream that starts after the event `last`.
async fn streams_after(server: &Server, connection: Connection, last: &str) {
    let mut stream = connection.stream().await;
    let position = stream.position().await;
    assert!(last.starts_with(&position), "the position {position} after {last}");
    streams_on(server, stream).await;
}

#[tokio::test]
async fn a_publish_and_a_stream_in_one_segment_both_get_a_response() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let mut connection = server.connect().await;
        connection.send(post("/topics/t", "old") + &get("/topics/t")).await;
        let ids = published(&mut connection, 1).await;
        streams_after(&server, connection, &ids[0]).await;
    }
}

#[tokio::test]
async fn forty_publishes_and_a_stream_in_one_write_are_answered_in_order() {
    for mode in StreamMode::BOTH {
        let server = Server::start_with(mode).await;
        let mut connection = server.connect().await;
        let posts: String = (0..40).map(|n| post("/topics/t", &n.to_string())).collect();
        connection.send(posts + &get("/topics/t")).await;
        let ids = published(&mut connection, 40).await;
        assert!(ids.is_sorted(), "{ids:?}");
        streams_after(&server, connection, &ids[39]).await;
    }
}

#[tokio::test]
async fn thousands_of_responses_that_wait_for_a_client_precede_its_stream() {
    const POSTS: usize = 3_000;
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let mut connection = server.connect_narrow().await;
        let posts: String = (0..POSTS).map(|n| post("/topics/t", &n.to_string())).collect();
        connection.send(posts + &get("/topics/t")).await;
        // The client does not read, so the server has to wait for it at some point.
        server.until_stable("stentor_published_events_total").await;
        let ids = published(&mut connection, POSTS).await;
        assert!(ids.is_sorted());
        streams_after(&server, connection, &ids[POSTS - 1]).await;
        let data = server.history_data("/topics/t?last=8").await;
        assert_eq!(data[..5], ["2995", "2996", "2997", "2998", "2999"]);
    }
}

#[tokio::test]
async fn a_response_of_8_mib_is_complete_before_the_stream_after_it() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let large = "x".repeat(8 * MIB - 1);
        let id = server.publish("/topics/t", large.as_str()).await;
        let mut connection = server.connect_narrow().await;
        connection.send(page("/topics/t") + &get("/topics/t")).await;
        // The response is larger than the socket buffers.
        server.until_stable("stentor_streams_total").await;
        let response = connection.response().await;
        assert_eq!(response.status, 200);
        assert!(response.text().contains(&format!("\"{large}\"")));
        streams_after(&server, connection, &id).await;
    }
}

#[tokio::test]
async fn a_page_read_slowly_is_complete_before_the_stream_after_it() {
    const EVENTS: usize = 1_000;
    for mode in StreamMode::BOTH {
        let server = Server::start_with(mode).await;
        let text = "x".repeat(800);
        let lines = (0..EVENTS).map(|number| format!("{number} {text}"));
        let id = server.publish_each("/topics/t", lines).await;
        let mut connection = server.connect_narrow().await;
        connection.send(page("/topics/t?limit=1000") + &get("/topics/t")).await;
        connection.read_slowly().await;
        let response = connection.response().await.json();
        let data = response["events"].as_array().unwrap().iter().map(|event| &event["data"]);
        assert!(data.eq((0..EVENTS).map(|n| format!("{n} {text}")).collect::<Vec<_>>().iter()));
        streams_after(&server, connection, &id).await;
    }
}

#[tokio::test]
async fn a_connection_with_earlier_requests_may_become_a_stream() {
    for mode in StreamMode::BOTH {
        let server = Server::start_with(mode).await;
        let over = server.publish("/topics/over?end", "").await;
        let mut connection = server.connect().await;
        let mut ids = Vec::new();
        for data in ["one", "two"] {
            connection.send(post("/topics/t", data)).await;
            ids.append(&mut published(&mut connection, 1).await);
            connection.send(page("/topics/t")).await;
            let page = connection.response().await.json();
            assert_eq!(page["events"].as_array().unwrap().len(), ids.len());
            connection.send(get("/topics/a//b")).await;
            connection.response().await.problem(400, "topic");
            // A finished topic is answered with 204, and the connection stays open.
            connection.send(get(&format!("/topics/over?last_event_id={over}"))).await;
            assert_eq!(connection.response().await.status, 204);
        }
        connection.send(get("/topics/t?from=earliest")).await;
        let mut stream = connection.stream().await;
        assert_eq!(stream.data(2).await, ["one", "two"]);
        server.publish("/topics/t", "three").await;
        assert_eq!(stream.data(1).await, ["three"]);
    }
}
