//! The contract over HTTP/2 without TLS (prior knowledge): many streams on one connection.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Version};
use serde_json::{Value, json};
use stentor_sse::{Decoder, Item};
use tokio::time::timeout;

use crate::harness::{Server, TIMEOUT};

fn client() -> Client {
    Client::builder().http2_prior_knowledge().no_proxy().timeout(TIMEOUT).build().unwrap()
}

async fn publish(client: &Client, server: &Server, path: &str, body: &str) -> String {
    let response = client.post(server.url(path)).body(body.to_owned()).send().await.unwrap();
    assert_eq!((response.status(), response.version()), (StatusCode::CREATED, Version::HTTP_2));
    let response: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    response["id"].as_str().unwrap().to_owned()
}

/// A stream over HTTP/2.
struct Stream {
    response: Response,
    decoder: Decoder,
    rest: Vec<u8>,
}

impl Stream {
    async fn open(client: &Client, server: &Server, path: &str, cursor: &str) -> Stream {
        let request =
            client.get(server.url(path)).timeout(Duration::MAX).header("Last-Event-ID", cursor);
        let response = request.send().await.unwrap();
        assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2));
        Stream { response, decoder: Decoder::new(), rest: Vec::new() }
    }

    /// Returns the name, data and id of the next event; `None` at a clean end.
    async fn next(&mut self) -> Option<(String, String, String)> {
        loop {
            let mut input = self.rest.as_slice();
            let item = self.decoder.decode(&mut input);
            self.rest = input.to_vec();
            match item {
                Some(Ok(Item::Event(event))) => {
                    let name =
                        event.event_type().map_or("message", |name| name.as_str()).to_owned();
                    let id = self.decoder.last_event_id().to_owned();
                    return Some((name, event.data().to_owned(), id));
                }
                Some(item) => drop(item.unwrap()),
                None => {
                    let more = timeout(TIMEOUT, self.response.chunk())
                        .await
                        .expect("more of the stream in time");
                    self.rest = more.expect("no reset")?.to_vec();
                }
            }
        }
    }

    async fn position(&mut self) -> String {
        let (name, data, id) = self.next().await.unwrap();
        assert_eq!((name.as_str(), data.as_str()), ("stentor.cursor", ""));
        id
    }
}

#[tokio::test]
async fn publishing_and_reading_work_over_http2() {
    let server = Server::start().await;
    let client = client();
    let mut stream = Stream::open(&client, &server, "/topics/news", "").await;
    let headers = stream.response.headers().clone();
    assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-cache, no-store, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert!(!headers.contains_key("connection"), "HTTP/2 has no such header");
    stream.position().await;
    let id = publish(&client, &server, "/topics/news?type=sport", "one\ntwo").await;
    assert_eq!(stream.next().await, Some(("sport".into(), "one\ntwo".into(), id)));
}

#[tokio::test]
async fn a_reader_over_http2_resumes_and_gets_the_end() {
    let server = Server::start().await;
    let client = client();
    let first = publish(&client, &server, "/topics/job", "one").await;
    publish(&client, &server, "/topics/job", "two").await;
    let mut stream = Stream::open(&client, &server, "/topics/job", &first).await;
    stream.position().await;
    assert_eq!(stream.next().await.unwrap().1, "two");
    publish(&client, &server, "/topics/job?end=done", "three").await;
    assert_eq!(stream.next().await.unwrap().1, "three");
    let (name, _, end) = stream.next().await.unwrap();
    assert_eq!(name, "stentor.end");
    assert_eq!(stream.next().await, None);
    let over =
        client.get(server.url("/topics/job")).header("Last-Event-ID", end).send().await.unwrap();
    assert_eq!(over.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_hundred_streams_share_one_connection() {
    let server = Server::in_memory().await;
    let client = client();
    publish(&client, &server, "/topics/t", "first").await;
    let connections = server.metric("stentor_connections_total").await;
    let mut streams = Vec::new();
    for number in 0..100 {
        let mut stream =
            Stream::open(&client, &server, &format!("/events?topic=all&topic=t{number}"), "").await;
        stream.position().await;
        streams.push(stream);
    }
    publish(&client, &server, "/topics/all", "to all").await;
    for (number, stream) in streams.iter_mut().enumerate() {
        publish(&client, &server, &format!("/topics/t{number}"), &number.to_string()).await;
        assert_eq!(stream.next().await.unwrap().1, "to all");
        assert_eq!(stream.next().await.unwrap().1, number.to_string());
    }
    // The second connection is that of the request for the metric.
    assert_eq!(server.metric("stentor_connections_total").await, connections + 1);
    drop(streams);
    server.until_metric("stentor_streams_open", 0).await;
}

#[tokio::test]
async fn a_stream_that_is_not_read_does_not_block_others_on_its_connection() {
    let server = Server::in_memory().await;
    let client = client();
    let mut stuck = Stream::open(&client, &server, "/topics/large", "").await;
    stuck.position().await;
    let mut other = Stream::open(&client, &server, "/topics/news", "").await;
    other.position().await;
    let large = "x".repeat(1 << 20);
    for _ in 0..12 {
        publish(&client, &server, "/topics/large", &large).await;
    }
    publish(&client, &server, "/topics/news", "through").await;
    assert_eq!(other.next().await.unwrap().1, "through");
    for _ in 0..12 {
        assert_eq!(stuck.next().await.unwrap().1.len(), 1 << 20);
    }
}

#[tokio::test]
async fn pages_and_problems_work_over_http2() {
    let server = Server::start().await;
    let client = client();
    publish(&client, &server, "/topics/news", "one").await;
    let page = client.get(server.url("/topics/news")).header("Accept", "application/json").send();
    let page: Value = serde_json::from_slice(&page.await.unwrap().bytes().await.unwrap()).unwrap();
    assert_eq!(page["events"][0]["data"], json!("one"));
    let response = client.get(server.url("/topics/news?form=now")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let response = client.delete(server.url("/topics/news")).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn the_authority_must_be_ours_and_a_foreign_page_may_not_write() {
    let server = Server::in_memory().await;
    let address = server.address.parse().unwrap();
    let builder = Client::builder().http2_prior_knowledge().no_proxy();
    let client =
        builder.resolve("evil.example", address).resolve("app.localhost", address).build().unwrap();
    let port = server.address.rsplit(':').next().unwrap();
    for (host, status) in [("evil.example", 403), ("app.localhost", 200)] {
        let url = format!("http://{host}:{port}/health/live");
        assert_eq!(client.get(url).send().await.unwrap().status(), status, "{host}");
    }
    let request = client.post(server.url("/topics/news")).header("Origin", "https://evil.example");
    assert_eq!(request.body("x").send().await.unwrap().status(), 403);
    let request = client.post(server.url("/topics/news")).header("Origin", "http://localhost:5173");
    let response = request.body("x").send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()["access-control-allow-origin"], "http://localhost:5173");
}

#[tokio::test]
async fn a_stopping_server_ends_streams_over_http2_cleanly() {
    let mut server = Server::in_memory().await;
    let client = client();
    let mut stream = Stream::open(&client, &server, "/topics/news", "").await;
    stream.position().await;
    let ((), end) = tokio::join!(server.stop(), stream.next());
    assert_eq!(end, None);
}
