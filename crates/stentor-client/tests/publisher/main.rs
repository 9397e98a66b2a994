//! The publisher against a server whose every answer is written by the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod batch;
mod queue;
mod repeats;
mod settings;
mod upload;

/// The answer to an event that was published.
fn created() -> String {
    answered("201 Created")
}

/// The answer to an event that was published before.
fn repeated() -> String {
    answered("200 OK")
}

/// The answer to a body of so many events, of which the last has this number.
fn created_many(count: usize, last: usize) -> String {
    let first = last + 1 - count;
    let body = format!(r#"{{"count":{count},"first_id":"c{first}","last_id":"c{last}"}}"#);
    support::answer("201 Created", "content-type: application/json\r\n", &body)
}

/// The answer of a server that cannot publish now.
fn unavailable() -> String {
    let problem = r#"{"code":"draining","detail":"the server is stopping"}"#;
    support::answer("503 Not Now", "content-type: application/problem+json\r\n", problem)
}

/// The refusal of a topic that has ended.
fn ended() -> String {
    let problem = r#"{"code":"topic-ended","detail":"the topic has ended"}"#;
    support::answer("409 Conflict", "content-type: application/problem+json\r\n", problem)
}

fn answered(status: &str) -> String {
    let body = r#"{"topic":"t","id":"c1"}"#;
    support::answer(status, "content-type: application/json\r\n", body)
}
