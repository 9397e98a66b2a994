//! `Idempotency-Key`: a repeated publish does no harm.

use crate::harness::{Response, Server};

async fn keyed(server: &Server, path: &str, key: &str, body: &str) -> Response {
    server.post(path, body).header("Idempotency-Key", key).send().await
}

#[tokio::test]
async fn a_repeat_answers_200_with_the_first_id_and_publishes_nothing() {
    let server = Server::start().await;
    let first = keyed(&server, "/topics/t?type=a&retry=5", "k", "x").await;
    assert_eq!(first.status, 201);
    server.publish("/topics/t", "between").await;
    let again = keyed(&server, "/topics/t?type=a&retry=5", "k", "x").await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    assert_eq!(server.history_data("/topics/t").await, ["x", "between"]);
}

#[tokio::test]
async fn a_repeat_is_answered_after_an_end_too() {
    for server in [Server::start().await, Server::in_memory().await] {
        let first = keyed(&server, "/topics/t", "k", "x").await;
        let last = keyed(&server, "/topics/t?end=done", "k2", "last").await;
        let again = keyed(&server, "/topics/t", "k", "x").await;
        assert_eq!((again.status, again.json()), (200, first.json()));
        let again = keyed(&server, "/topics/t?end=done", "k2", "last").await;
        assert_eq!((again.status, again.json()), (200, last.json()));
        keyed(&server, "/topics/t", "k3", "new").await.problem(409, "topic-ended");
    }
}

#[tokio::test]
async fn an_end_alone_can_be_repeated_too() {
    let server = Server::in_memory().await;
    let first = keyed(&server, "/topics/t?end", "k", "").await;
    assert_eq!(first.status, 201);
    let again = keyed(&server, "/topics/t?end", "k", "").await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    let other = keyed(&server, "/topics/t?end", "other", "").await;
    assert_eq!((other.status, other.json()), (200, first.json()));
}

#[tokio::test]
async fn the_same_key_for_something_else_is_refused() {
    let server = Server::start().await;
    keyed(&server, "/topics/t?type=a&retry=5", "k", "x").await;
    let others = [
        ("/topics/t?type=a&retry=5", "y"),
        ("/topics/t?type=a&retry=5", "x\n"),
        ("/topics/t?type=b&retry=5", "x"),
        ("/topics/t?retry=5", "x"),
        ("/topics/t?type=a&retry=6", "x"),
        ("/topics/t?type=a", "x"),
        ("/topics/t?type=a&retry=5&end", "x"),
        ("/topics/t?end", ""),
    ];
    for (path, body) in others {
        let response = keyed(&server, path, "k", body).await;
        let detail = response.problem(422, "key-reused");
        assert!(detail.contains("new key"), "{path} {body:?}: {detail}");
    }
    keyed(&server, "/topics/u?end=a", "k", "x").await;
    keyed(&server, "/topics/u?end=b", "k", "x").await.problem(422, "key-reused");
    assert_eq!(server.history("/topics/t").await.len(), 1);
}

#[tokio::test]
async fn a_key_counts_within_its_topic() {
    let server = Server::in_memory().await;
    for topic in ["a", "b"] {
        assert_eq!(keyed(&server, &format!("/topics/{topic}"), "k", "x").await.status, 201);
    }
}

#[tokio::test]
async fn a_refused_publish_does_not_use_its_key() {
    let server = Server::in_memory().await;
    keyed(&server, "/topics/t?retry=3600001", "k", "x").await.problem(400, "retry");
    assert_eq!(keyed(&server, "/topics/t", "k", "x").await.status, 201);
}

#[tokio::test]
async fn a_key_is_at_most_256_visible_characters() {
    let server = Server::in_memory().await;
    for bad in ["two words", "caf\u{e9}", &"k".repeat(257)] {
        let detail = keyed(&server, "/topics/t", bad, "x").await.problem(400, "key");
        assert!(detail.contains("256 visible ASCII"), "{detail}");
    }
    assert_eq!(server.history("/topics/t").await.len(), 0);
    for good in [&*"k".repeat(256), "!\"#~"] {
        assert_eq!(keyed(&server, "/topics/t", good, "x").await.status, 201);
    }
}

#[tokio::test]
async fn two_keys_in_one_request_are_refused() {
    let server = Server::start().await;
    let publish = server.post("/topics/t", "x").header("Idempotency-Key", "a");
    publish.header("Idempotency-Key", "b").send().await.problem(400, "key");
    assert!(server.history_data("/topics/t").await.is_empty());
}

#[tokio::test]
async fn an_empty_key_counts_as_absent() {
    let server = Server::in_memory().await;
    for _ in 0..2 {
        assert_eq!(keyed(&server, "/topics/t", "", "x").await.status, 201);
    }
}

#[tokio::test]
async fn equal_keys_at_the_same_time_publish_once() {
    for server in [Server::start().await, Server::in_memory().await] {
        let mut publishes = tokio::task::JoinSet::new();
        for _ in 0..50 {
            publishes.spawn(server.post("/topics/t", "x").header("Idempotency-Key", "k").send());
        }
        let responses = publishes.join_all().await;
        let new = responses.iter().filter(|response| response.status == 201).count();
        let repeats = responses.iter().filter(|response| response.status == 200).count();
        assert_eq!((new, repeats), (1, 49));
        assert!(responses.iter().all(|response| response.json() == responses[0].json()));
        assert_eq!(server.history("/topics/t").await.len(), 1);
    }
}
