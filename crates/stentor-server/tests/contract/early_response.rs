//! Responses that are sent before the body has ended: the client gets them, and no reset.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Server, StreamMode, read_head, read_response};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_large_body_that_is_refused_is_read_to_its_end() {
    let server = Server::in_memory().await;
    let body = vec![b'x'; 15 * MIB];
    // A reset would fail the write of the body or the read to the end.
    server.post("/topics/t", body.clone()).send().await.problem(413, "too-large");
    server.post("/topics/a//b", body.clone()).send().await.problem(400, "topic");
    server.post("/topics/t?tpye=x", body.clone()).send().await.problem(400, "query");
    let packed = server.post("/topics/t", body).header("Content-Encoding", "gzip").send().await;
    packed.problem(415, "media-type");
}

#[tokio::test]
async fn the_response_to_20_megabytes_at_once_is_received() {
    let server = Server::in_memory().await;
    let request = server.post("/topics/t", vec![b'x'; 20_000_000]);
    let mut socket = request.connect().await;
    read_response(&mut socket).await.problem(413, "too-large");
}

#[tokio::test]
async fn a_refusal_of_more_than_16_mib_says_that_the_connection_will_be_closed() {
    for mode in [StreamMode::Shards, StreamMode::Axum] {
        let server = Server::in_memory_with(mode).await;
        for path in ["/topics/t", "/nowhere"] {
            for (length, closes) in [(16 * MIB, None), (17_000_000, Some("close"))] {
                let request = server.request("POST", path);
                let request = request.header("Content-Length", &length.to_string());
                let mut socket = request.connect().await;
                let response = read_response(&mut socket).await;
                let status = if path == "/nowhere" { 404 } else { 413 };
                assert_eq!(response.status, status, "{mode:?} {path} {length}");
                assert_eq!(response.header("connection"), closes, "{mode:?} {path} {length}");
            }
        }
    }
}

#[tokio::test]
async fn a_refused_body_is_read_to_its_end_by_another_server_too() {
    let server = Server::in_memory_with(StreamMode::Axum).await;
    for path in ["/topics/t", "/nowhere"] {
        let mut upload = server.upload(path, "text/plain").await;
        for _ in 0..9 {
            upload.send(vec![b'x'; MIB]).await;
        }
        let response = upload.response().await;
        assert!(matches!(response.status, 413 | 404), "{}", response.status);
        for _ in 0..6 {
            upload.send(vec![b'x'; MIB]).await;
        }
    }
}

#[tokio::test]
async fn the_response_arrives_while_the_body_is_still_being_sent() {
    let server = Server::in_memory().await;
    let mut upload = server.upload("/topics/t", "text/plain").await;
    for _ in 0..9 {
        upload.send(vec![b'x'; MIB]).await;
    }
    upload.response().await.problem(413, "too-large");
    // The server still reads the rest of the body.
    for _ in 0..6 {
        upload.send(vec![b'x'; MIB]).await;
    }
}

#[tokio::test]
async fn a_connection_can_be_used_again_after_an_early_response() {
    let server = Server::in_memory().await;
    let mut socket = server.post("/topics/t", vec![b'x'; 10 * MIB]).connect().await;
    read_response(&mut socket).await.problem(413, "too-large");
    let head = format!(
        "POST /topics/t HTTP/1.1\r\nHost: {}\r\nContent-Length: 2\r\n\r\nok",
        server.address
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(read_response(&mut socket).await.status, 201);
    assert_eq!(server.history_data("/topics/t").await, ["ok"]);
}

#[tokio::test]
async fn a_client_that_expects_100_continue_gets_it() {
    let server = Server::in_memory().await;
    let request = server.request("POST", "/topics/t").header("Expect", "100-continue");
    let mut socket = request.header("Content-Length", "5").connect().await;
    assert_eq!(read_head(&mut socket).await, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(b"hello").await.unwrap();
    assert_eq!(read_response(&mut socket).await.status, 201);
}

#[tokio::test]
async fn a_client_that_expects_100_continue_can_be_refused_before_the_body() {
    let server = Server::in_memory().await;
    for (path, length, status) in
        [("/topics/t", 9 * MIB, "413"), ("/topics/*", 5, "400"), ("/x", 5, "404")]
    {
        let request = server.request("POST", path).header("Expect", "100-continue");
        let mut socket = request.header("Content-Length", &length.to_string()).connect().await;
        let head = String::from_utf8(read_head(&mut socket).await).unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).await.expect("no reset");
    }
}

#[tokio::test]
async fn a_publish_whose_body_falls_silent_gets_408() {
    let server = Server::in_memory().await;
    let mut upload = server.upload("/topics/t", "text/plain").await;
    upload.send("and then").await;
    let detail = upload.response().await.problem(408, "silent");
    assert!(detail.contains("30 s"), "{detail}");
    assert_eq!(server.history("/topics/t").await.len(), 0);
}

#[tokio::test]
async fn slow_large_bodies_do_not_delay_a_small_publish() {
    let server = Server::in_memory().await;
    let mut open = Vec::new();
    for _ in 0..33 {
        let length = (8 * MIB).to_string();
        let request = server.request("POST", "/topics/t").header("Content-Length", &length);
        let mut body = request.connect().await;
        body.write_all(b"x").await.unwrap();
        open.push(body);
    }
    // A byte of each has arrived, and no more than that is reserved.
    server.until_metric("stentor_body_bytes", 33).await;
    assert_eq!(server.post("/topics/t", "one more").send().await.status, 201);
    assert_eq!(server.metric("stentor_body_bytes").await, 33);
}

#[tokio::test]
async fn large_bodies_in_flight_share_224_mib_and_small_ones_the_rest() {
    let server = Server::in_memory().await;
    let request = || {
        let length = (8 * MIB).to_string();
        server.request("POST", "/topics/t").header("Content-Length", &length)
    };
    let most = vec![b'x'; 8 * MIB - 1];
    let mut open = Vec::new();
    for _ in 0..28 {
        let mut body = request().connect().await;
        body.write_all(&most).await.unwrap();
        open.push(body);
    }
    server.until_metric("stentor_body_bytes", 224 << 20).await;
    // One more may go on, so that bodies complete while all others are slow. The next one waits.
    let mut exceeding = request().connect().await;
    exceeding.write_all(&most).await.unwrap();
    server.until_metric("stentor_body_bytes", 232 << 20).await;
    let mut waiting = request().connect().await;
    waiting.write_all(&most[..128 << 10]).await.unwrap();
    server.until_metric("stentor_bodies_waiting", 1).await;
    assert_eq!(server.post("/topics/t", "one more").send().await.status, 201);
    // When bodies that hold a share end, the waiting one continues.
    for mut done in [exceeding, open.swap_remove(0)] {
        done.write_all(b"x").await.unwrap();
        assert_eq!(read_response(&mut done).await.status, 201);
    }
    waiting.write_all(&most[(128 << 10) - 1..]).await.unwrap();
    assert_eq!(read_response(&mut waiting).await.status, 201);
    drop(open);
    server.until_metric("stentor_body_bytes", 0).await;
}
