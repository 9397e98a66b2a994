//! `Idempotency-Key`: a repeated publish does no harm.

use crate::harness::{Options, Response, Server};

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

async fn uploaded(server: &Server, path: &str, key: &str, lines: &str) -> Response {
    let upload = server.post(path, lines).header("Content-Type", "application/x-ndjson");
    upload.header("Idempotency-Key", key).send().await
}

#[tokio::test]
async fn one_key_names_one_publish_of_any_kind() {
    for server in [Server::start().await, Server::in_memory().await] {
        let batch = r#"[{"topic":"t","data":"x"}]"#;
        assert_eq!(uploaded(&server, "/topics/t", "up", "x\n").await.status, 201);
        keyed(&server, "/topics/t", "up", "x").await.problem(422, "key-reused");
        keyed(&server, "/topics", "up", batch).await.problem(422, "key-reused");

        let single = keyed(&server, "/topics/t", "single", "x").await;
        uploaded(&server, "/topics/t", "single", "x\n").await.problem(422, "key-reused");
        let equal = keyed(&server, "/topics", "single", batch).await;
        assert_eq!(equal.status, 200);
        assert_eq!(equal.json()["first_id"], single.json()["id"], "the content is the same");

        let several = r#"[{"topic":"t","data":"1"},{"topic":"u","data":"2"}]"#;
        assert_eq!(keyed(&server, "/topics", "batch", several).await.status, 201);
        for topic in ["/topics/t", "/topics/u"] {
            keyed(&server, topic, "batch", "x").await.problem(422, "key-reused");
            uploaded(&server, topic, "batch", "x\n").await.problem(422, "key-reused");
        }
        keyed(&server, "/topics", "single", several).await.problem(422, "key-reused");
        assert_eq!(server.history_data("/topics/t").await, ["x", "x", "1"]);
    }
}

#[tokio::test]
async fn at_the_bound_new_keys_are_refused_and_old_ones_are_known() {
    for options in [Options::on_disk(), Options::in_memory()] {
        let server = options.keys(3, None).start().await;
        let first = keyed(&server, "/topics/t", "k0", "x").await;
        for key in ["k1", "k2"] {
            assert_eq!(keyed(&server, "/topics/t", key, "x").await.status, 201);
        }
        let refused = keyed(&server, "/topics/t", "k3", "x").await;
        let detail = refused.problem(429, "too-many-keys");
        assert!(detail.contains("the log has 3") && detail.contains("same key"), "{detail}");
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((500..=601).contains(&seconds), "{seconds} s, and the window has 600 s");
        uploaded(&server, "/topics/t", "k3", "x\n").await.problem(429, "too-many-keys");
        let again = keyed(&server, "/topics/t", "k0", "x").await;
        assert_eq!((again.status, again.json()), (200, first.json()));
        assert_eq!(server.post("/topics/t", "no key").send().await.status, 201);
        let metrics = server.get("/metrics").send().await.text();
        assert!(metrics.contains("stentor_keys_refused_total 2"), "{metrics}");
    }
}

#[tokio::test]
async fn the_keys_of_an_address_are_counted_across_restarts() {
    let mut server = Options::on_disk().keys(100, Some(2)).start().await;
    for key in ["k0", "k1"] {
        assert_eq!(keyed(&server, "/topics/t", key, "x").await.status, 201);
    }
    server.restart().await;
    let detail = keyed(&server, "/topics/t", "k2", "x").await.problem(429, "too-many-keys");
    assert!(detail.contains("your address has 2"), "{detail}");
    let stream = server.post("/topics/t?dedupe=id", "id: 7\ndata: x\n\n");
    let stream = stream.header("Content-Type", "text/event-stream");
    stream.send().await.problem(429, "too-many-keys");
    assert_eq!(keyed(&server, "/topics/t", "k1", "x").await.status, 200);
}

/// The loopback addresses below 127/8 are different hosts to the server.
#[tokio::test]
async fn a_publisher_that_uses_up_its_keys_leaves_those_of_others() {
    use std::io::{Read, Write};

    let server = Options::in_memory().keys(100, Some(2)).start().await;
    for key in ["k0", "k1"] {
        assert_eq!(keyed(&server, "/topics/t", key, "x").await.status, 201);
    }
    keyed(&server, "/topics/t", "k2", "x").await.problem(429, "too-many-keys");
    let address: std::net::SocketAddr = (*server).address.parse().unwrap();
    let response = tokio::task::spawn_blocking(move || {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 2], 0)).into())?;
        socket.connect(&address.into())?;
        let mut stream = std::net::TcpStream::from(socket);
        let head = "POST /topics/t HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k2\r\n";
        write!(stream, "{head}Content-Length: 1\r\nConnection: close\r\n\r\nx")?;
        let mut response = String::new();
        stream.read_to_string(&mut response).map(|_| response)
    });
    let response = response.await.unwrap().unwrap();
    assert!(response.starts_with("HTTP/1.1 201 "), "{response}");
}
