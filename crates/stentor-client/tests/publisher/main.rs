//! Tests of the publisher against a server whose responses are written by the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod batch;
mod options;
mod queue;
mod responses;
mod retries;
mod upload;

/// The response to an event that was published.
fn created() -> String {
    published("201 Created")
}

/// The response to an event that had been published before.
fn repeated() -> String {
    published("200 OK")
}

/// The response to a body of `count` events. The id of the last one is `c` and `last`.
fn created_many(count: usize, last: usize) -> String {
    let first = last + 1 - count;
    let body = format!(r#"{{"count":{count},"first_id":"c{first}","last_id":"c{last}"}}"#);
    support::response("201 Created", "content-type: application/json\r\n", &body)
}

/// The response of a server that is temporarily unable to publish.
fn unavailable() -> String {
    let problem = r#"{"code":"draining","detail":"the server is stopping"}"#;
    support::response("503 Not Now", "content-type: application/problem+json\r\n", problem)
}

/// The response of a topic that has ended.
fn ended() -> String {
    let problem = r#"{"code":"topic-ended","detail":"the topic has ended"}"#;
    support::response("409 Conflict", "content-type: application/problem+json\r\n", problem)
}

fn published(status: &str) -> String {
    let body = r#"{"topic":"t","id":"c1"}"#;
    support::response(status, "content-type: application/json\r\n", body)
}
