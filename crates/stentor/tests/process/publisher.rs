//! The publisher of the client library with a real server.
#![allow(clippy::similar_names, reason = "a publisher and what it published")]

use std::convert::Infallible;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::{Value, json};
use stentor_client::{Batch, Event, Publish, Publisher};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::harness::{Server, numbers, read_head, read_response};

const NDJSON: &str = "application/x-ndjson";

/// Returns the data of the first `count` events of a topic, and asserts that there are no more.
async fn all_of(server: &Server, topic: &str, count: usize) -> Vec<String> {
    let mut stream = server.subscribe(&format!("/topics/{topic}?from=earliest")).await;
    let data = stream.data(count).await;
    server.publish(&format!("/topics/{topic}"), "after all").await;
    assert_eq!(stream.data(1).await, ["after all"]);
    data
}

#[tokio::test]
async fn a_queue_publishes_each_event_once_and_in_order_while_the_server_is_killed() {
    let mut server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let queue = publisher.queue("t").unwrap();
    let numbers = numbers(4_000);
    for part in numbers.chunks(1_000) {
        for number in part {
            queue.send(number.as_str()).await.unwrap();
            // Gives the queue time to send requests.
            tokio::task::yield_now().await;
        }
        server.kill_and_restart().await;
    }
    let all = queue.finish().await.unwrap();
    assert_eq!(all.count, 4_000);
    assert_eq!(all_of(&server, "t", 4_000).await, numbers);
}

/// Forwards requests from a publisher to the server, and drops two of three responses: the server has published, is
/// killed, and starts again.
async fn lose_responses(listener: TcpListener, server: &mut Server) {
    for number in 1.. {
        let (mut client, _) = listener.accept().await.unwrap();
        let request = read_request(&mut client).await;
        let mut socket = TcpStream::connect(&server.address).await.unwrap();
        socket.write_all(&request).await.unwrap();
        let response = read_response(&mut socket).await;
        if number % 3 > 0 {
            assert!(matches!(response.status, 200 | 201), "{response:?}");
            server.kill_and_restart().await;
            continue;
        }
        assert_eq!(response.status, 200, "published by the first attempt: {response:?}");
        let head = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            response.body.len()
        );
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&response.body).await.unwrap();
    }
}

/// Reads a request with a `Content-Length`.
async fn read_request(client: &mut TcpStream) -> Vec<u8> {
    let mut request = read_head(client).await;
    let head = String::from_utf8(request.clone()).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    client.read_exact(&mut body).await.unwrap();
    request.extend(body);
    request
}

#[tokio::test]
async fn a_response_that_was_lost_in_a_kill_publishes_nothing_twice() {
    let mut server = Server::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let publisher = Publisher::new(format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let publish = async {
        let queue = publisher.queue("t").unwrap();
        for number in numbers(50) {
            queue.send(number).await.unwrap();
        }
        queue.finish().await.unwrap();
        publisher.publish("t", "50").await.unwrap()
    };
    let response = tokio::select! {
        () = lose_responses(listener, &mut server) => unreachable!("it never returns"),
        response = publish => response,
    };
    assert!(response.repeat);
    assert_eq!(all_of(&server, "t", 51).await, numbers(51));
}

#[tokio::test]
async fn a_publish_waits_for_a_server_that_restarts() {
    let mut server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    publisher.publish("t", "0").await.unwrap();
    server.stop().await;
    let (response, ()) = tokio::join!(publisher.publish("t", "1"), server.start_again());
    assert!(!response.unwrap().repeat);
    assert_eq!(all_of(&server, "t", 2).await, numbers(2));
}

#[tokio::test]
async fn a_chosen_key_publishes_once_over_several_programs() {
    let server = Server::in_memory().await;
    let mut ids = Vec::new();
    for repeat in [false, true] {
        let publisher = Publisher::new(server.url("")).unwrap();
        let event = Publish::from("paid").with_idempotency_key("order-7");
        let response = publisher.publish("t", event).await.unwrap();
        assert_eq!(response.repeat, repeat);
        ids.push(response.last_id);
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(server.history_data("/topics/t").await, ["paid"]);
}

#[tokio::test]
async fn a_batch_is_published_all_or_not_at_all() {
    let server = Server::in_memory().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    publisher.end("ended", "").await.unwrap();
    let batch = |topics: [&str; 2]| -> Batch {
        topics.into_iter().map(|topic| (topic, Event::new("x\r\ny"))).collect()
    };
    let error = publisher.batch(batch(["a", "ended"])).await.unwrap_err();
    assert!(error.to_string().contains("409") && !error.may_be_published(), "{error}");
    assert!(server.history("/topics/a").await.is_empty());
    assert_eq!(publisher.batch(batch(["a", "b"])).await.unwrap().count, 2);
    for topic in ["a", "b"] {
        assert_eq!(server.history_data(&format!("/topics/{topic}")).await, ["x\r\ny"]);
    }
    let error = publisher.batch(Batch::new()).await.unwrap_err();
    assert!(error.to_string().contains("empty"), "{error}");
}

#[tokio::test]
async fn a_queue_keeps_uploads_and_ends_in_order() {
    let server = Server::in_memory().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let queue = publisher.queue("t").unwrap();
    for publish in [
        Publish::from("a"),
        "b\r\n".into(),
        Publish::from("").with_type("tick"),
        Publish::body(NDJSON, "1\n2\n"),
        Publish::body("image/png", &b"\x89PNG"[..]),
        "c".into(),
        "d".into(),
        Publish::end("done"),
    ] {
        queue.send(publish).await.unwrap();
    }
    assert_eq!(queue.finish().await.unwrap().count, 9);
    let page = server.page("/topics/t").await;
    let data: Vec<&Value> =
        page["events"].as_array().unwrap().iter().map(|event| &event["data"]).collect();
    assert_eq!(data, ["a", "b\r\n", "", "1", "2", "data:image/png;base64,iVBORw==", "c", "d"]);
    assert_eq!(
        (&page["events"][2]["type"], &page["ended"]["reason"]),
        (&json!("tick"), &json!("done"))
    );
}

#[tokio::test]
async fn an_upload_is_published_as_it_arrives() {
    let server = Server::in_memory().await;
    let mut readers = server.subscribe("/topics/t").await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let (pieces, mut received) = mpsc::channel(1);
    let body = stream::poll_fn(move |cx| received.poll_recv(cx)).map(Ok::<_, Infallible>);
    let upload = Publish::stream(NDJSON, body).with_type("line").and_end("done");
    let send = async {
        for number in numbers(3) {
            pieces.send(format!("{number}\n").into()).await.unwrap();
            assert_eq!(readers.data(1).await, [number]);
        }
        drop(pieces);
    };
    let (response, ()) = tokio::join!(publisher.upload("t", upload), send);
    assert_eq!(response.unwrap().count, 3);
}

#[tokio::test]
async fn an_upload_with_a_key_publishes_only_what_is_missing() {
    let server = Server::in_memory().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    for (count, repeat) in [(2, false), (5, false), (5, true)] {
        let lines =
            numbers(count).into_iter().map(|line| Ok::<_, Infallible>((line + "\n").into()));
        let upload = Publish::stream(NDJSON, stream::iter(lines)).with_idempotency_key("file");
        let response = publisher.upload("t", upload).await.unwrap();
        assert_eq!((response.count, response.repeat), (count as u64, repeat));
    }
    assert_eq!(server.history_data("/topics/t").await, numbers(5));
}

#[tokio::test]
async fn an_upload_cut_by_a_kill_continues_by_itself() {
    let mut server = Server::start().await;
    let mut readers = server.subscribe("/topics/t").await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let mut is_first = true;
    let lines = || {
        let lines = numbers(1_000).into_iter();
        let lines = stream::iter(lines.map(|line| Ok::<_, Infallible>((line + "\n").into())));
        let stuck = std::mem::take(&mut is_first);
        if stuck { lines.take(500).chain(stream::pending()).boxed() } else { lines.boxed() }
    };
    let upload = publisher.upload_repeatable("t", Publish::stream(NDJSON, lines));
    let kill = async {
        readers.data(500).await;
        server.kill_and_restart().await;
    };
    let (response, ()) = tokio::join!(upload, kill);
    assert_eq!(response.unwrap().count, 1_000);
    assert_eq!(all_of(&server, "t", 1_000).await, numbers(1_000));
}

#[tokio::test]
async fn a_refused_upload_returns_its_number_of_published_events() {
    let server = Server::in_memory().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let open =
        stream::iter([Ok::<_, Infallible>("one\ntwo\n\u{ff}".into()), Ok(b"\xff\n"[..].into())]);
    let upload = Publish::stream(NDJSON, open.chain(stream::pending()));
    let error = publisher.upload("t", upload).await.unwrap_err();
    let problem = error.problem().expect("a problem");
    assert_eq!((problem.code.as_deref(), problem.published), (Some("not-utf8"), Some(2)));
    let newest = server.history("/topics/t").await[1]["id"].clone();
    assert_eq!(Value::from(problem.last_id.clone()), newest);
}

#[tokio::test]
async fn a_lost_producer_ends_its_topic() {
    let server = Server::in_memory().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let mut stream = server.subscribe("/topics/t").await;
    let event = Publish::from("x").with_lease(Duration::from_secs(1));
    publisher.publish("t", event).await.unwrap();
    let rest = stream.rest().await;
    assert!(rest.last().unwrap().data.contains("producer lost"), "{rest:?}");
}
