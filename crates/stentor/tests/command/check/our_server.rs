//! A Stentor server, which must pass.

use super::check;
use crate::harness::Server;

/// An origin that a Stentor server allows by default.
const LOCAL: &str = "http://localhost:5173";

#[tokio::test]
async fn nothing_fails_without_publishing() {
    let server = Server::start().await;
    for data in ["one", "two", "three"] {
        server.publish("/topics/news", data).await;
    }
    let url = server.url("/topics/news?from=earliest");
    let checked = check(&[&url, "--for", "3s", "--origin", LOCAL]).await;
    checked.must_blame(&[]);
    let passed = checked.with("pass");
    for name in ["ids", "resume", "resume-by-query", "unknown-id", "cors-preflight", "http2"] {
        assert!(passed.contains(&name), "{:#}", checked.object);
    }
}

#[tokio::test]
async fn nothing_fails_with_publishing() {
    let server = Server::in_memory().await;
    let url = server.url("/topics/news");
    let args = [&url, "--for", "500ms", "--origin", LOCAL, "--publish-url", &url];
    let checked = check(&args).await;
    checked.must_blame(&[]);
    // The watch is too short for a keep-alive, and the topic does not end.
    assert_eq!(checked.with("not observable"), ["keep-alive", "end"], "{:#}", checked.object);
}

#[tokio::test]
async fn nothing_fails_when_the_topic_has_ended() {
    let server = Server::in_memory().await;
    server.publish("/topics/finite", "one").await;
    server.publish("/topics/finite", "two").await;
    server.publish("/topics/finite?end", "three").await;
    for path in ["/topics/finite", "/topics/finite?from=earliest"] {
        let checked = check(&[&server.url(path)]).await;
        checked.must_blame(&[]);
        assert!(checked.with("pass").contains(&"end"), "{:#}", checked.object);
    }
}

#[tokio::test]
async fn a_required_origin_that_is_not_allowed_is_a_fault() {
    let server = Server::in_memory().await;
    let url = server.url("/topics/news");
    let args = [&url, "--for", "200ms", "--origin", "https://stranger.example"];
    let checked = check(&args).await;
    checked.must_blame(&["cors", "cors-preflight"]);
}
