//! Tests of the publish queue.

use futures_util::FutureExt;
use serde_json::Value;
use stentor_client::{Event, EventType, Publish, PublishError, PublishQueue, Publisher};
use tokio::task::unconstrained;

use crate::support::{Connection, Request, Server};
use crate::{created, created_many, ended, unavailable};

/// A queue with one request in progress.
async fn begun() -> (Server, PublishQueue, Connection) {
    begun_with(20).await
}

async fn begun_with(attempts: u32) -> (Server, PublishQueue, Connection) {
    let server = Server::start().await;
    let publisher = Publisher::builder(server.url("")).attempts_max(attempts).build().unwrap();
    let queue = publisher.queue("t").unwrap();
    queue.send("0").await.unwrap();
    let first = server.accept().await;
    assert_eq!((first.request.line(), first.request.body.as_str()), ("POST /topics/t", "0"));
    (server, queue, first)
}

async fn respond(mut connection: Connection, response: &str) -> Request {
    connection.write(response).await;
    connection.close().await
}

/// Returns the data of the events of a batch for the topic `t`.
fn batch(request: &Request) -> Vec<String> {
    assert_eq!(request.line(), "POST /topics");
    let items: Vec<Value> = serde_json::from_str(&request.body).unwrap();
    let data = |item: &Value| {
        assert_eq!(item["topic"], "t");
        item["data"].as_str().unwrap().to_owned()
    };
    items.iter().map(data).collect()
}

#[tokio::test]
async fn waiting_events_are_sent_together_in_order() {
    let (server, queue, first) = begun().await;
    for data in ["1", "2\r\n", ""] {
        queue.send(data).await.unwrap();
    }
    let typed = Event::new("4").with_type(EventType::new("tick").unwrap());
    let last = queue.send(typed).await.unwrap();
    respond(first, &created()).await;
    let rest = respond(server.accept().await, &created_many(4, 5)).await;
    assert_eq!(batch(&rest), ["1", "2\r\n", "", "4"]);
    assert!(rest.body.contains(r#""type":"tick""#) && rest.header("idempotency-key").is_some());
    assert_eq!(last.await.unwrap().last_id.as_deref(), Some("c5"));
    let all = queue.finish().await.unwrap();
    assert_eq!(all.count, 5);
    assert_eq!((all.first_id.as_deref(), all.last_id.as_deref()), (Some("c1"), Some("c5")));
}

#[tokio::test]
async fn a_request_is_retried_with_its_key_before_later_events() {
    let (server, queue, first) = begun().await;
    let key = respond(first, "").await.header("idempotency-key").unwrap().to_owned();
    queue.send("1").await.unwrap();
    for attempt in [unavailable(), created()] {
        let again = respond(server.accept().await, &attempt).await;
        assert_eq!((again.body.as_str(), again.header("idempotency-key")), ("0", Some(&*key)));
    }
    let next = respond(server.accept().await, &created()).await;
    assert_eq!(next.body, "1");
    assert_eq!(queue.finish().await.unwrap().count, 2);
}

#[tokio::test]
async fn a_full_queue_makes_the_producer_wait() {
    let (server, queue, first) = begun().await;
    let mut sent = 1;
    while unconstrained(queue.send(sent.to_string())).now_or_never().is_some() {
        sent += 1;
        assert!(sent <= PublishQueue::QUEUE_EVENTS_MAX + 1, "the queue is never full");
    }
    assert_eq!(sent, PublishQueue::QUEUE_EVENTS_MAX + 1);
    let responses = async {
        respond(first, &created()).await;
        let mut next = 1;
        while next < sent {
            let mut connection = server.accept().await;
            let data = batch(&connection.request);
            assert!(data.len() <= PublishQueue::REQUEST_EVENTS_MAX, "{}", data.len());
            for data in &data {
                assert_eq!(data, &next.to_string());
                next += 1;
            }
            connection.write(&created_many(data.len(), next)).await;
        }
    };
    let ((), all) = tokio::join!(responses, queue.finish());
    assert_eq!(all.unwrap().count, sent as u64);
}

#[tokio::test]
async fn large_events_make_the_producer_wait_and_are_sent_alone() {
    let (server, queue, first) = begun().await;
    let large = "x".repeat(PublishQueue::REQUEST_BYTES_MAX * 2 / 3);
    let mut sent = 0;
    while unconstrained(queue.send(large.as_str())).now_or_never().is_some() {
        sent += 1;
        assert!(sent <= 24, "the queue is never full");
    }
    assert_eq!(sent, 24);
    let responses = async {
        respond(first, &created()).await;
        for _ in 0..sent {
            let request = respond(server.accept().await, &created()).await;
            assert_eq!((request.line(), request.body.len()), ("POST /topics/t", large.len()));
        }
    };
    let ((), all) = tokio::join!(responses, queue.finish());
    assert_eq!(all.unwrap().count, 25);
}

#[tokio::test]
async fn other_publishes_are_sent_alone_in_order() {
    let (server, queue, first) = begun().await;
    let lines = Publish::body("application/x-ndjson", "3\n4\n");
    let keyed = Publish::from("5").with_idempotency_key("five");
    for publish in ["1".into(), "2".into(), lines, keyed, "6".into(), "7".into(), Publish::end("")]
    {
        queue.send(publish).await.unwrap();
    }
    respond(first, &created()).await;
    let requests = server
        .respond([created_many(2, 2), created_many(2, 4), created(), created_many(2, 7), created()])
        .await;
    assert_eq!(batch(&requests[0]), ["1", "2"]);
    assert_eq!(requests[1].body, "3\n4\n");
    assert_eq!(requests[2].header("idempotency-key"), Some("five"));
    assert_eq!(batch(&requests[3]), ["6", "7"]);
    assert_eq!(requests[4].line(), "POST /topics/t?end=");
    queue.finish().await.unwrap();
}

#[tokio::test]
async fn a_refusal_stops_the_queue_and_returns_the_unpublished_events() {
    let (server, queue, first) = begun().await;
    let second = queue.send("1").await.unwrap();
    respond(first, &created()).await;
    let in_progress = server.accept().await;
    queue.send("2").await.unwrap();
    respond(in_progress, &ended()).await;
    let error = second.await.unwrap_err();
    assert!(matches!(error, PublishError::Refused { .. }), "{error}");
    let error = queue.send("3").await.unwrap_err();
    assert_eq!(error.unpublished, [Publish::from("3")]);
    assert!(queue.flush().await.unwrap_err().to_string().contains("the topic has ended"));
    let error = queue.finish().await.unwrap_err();
    assert_eq!(error.unpublished, [Publish::from("1"), Publish::from("2")]);
    assert_eq!(error.in_doubt, 0);
    assert!(error.to_string().ends_with("the topic has ended (2 events not published)"), "{error}");
}

#[tokio::test]
async fn a_waiting_producer_gets_the_error_that_stopped_the_queue() {
    let (_server, queue, first) = begun().await;
    let large = "x".repeat(PublishQueue::QUEUE_BYTES_MAX);
    let ((), result) =
        tokio::join!(async { drop(respond(first, &ended()).await) }, queue.send(large.as_str()));
    assert_eq!(result.unwrap_err().unpublished, [Publish::from(large)]);
}

#[tokio::test]
async fn events_that_may_be_published_are_counted() {
    let (server, queue, first) = begun_with(1).await;
    for data in ["1", "2"] {
        queue.send(data).await.unwrap();
    }
    respond(first, &created()).await;
    let in_progress = server.accept().await;
    queue.send("3").await.unwrap();
    respond(in_progress, "").await;
    let error = queue.finish().await.unwrap_err();
    assert_eq!((error.in_doubt, error.unpublished.len()), (2, 3));
}

#[tokio::test]
async fn a_flush_waits_for_earlier_events() {
    let (server, queue, first) = begun().await;
    queue.send("1").await.unwrap();
    let mut flush = Box::pin(queue.flush());
    assert!((&mut flush).now_or_never().is_none());
    respond(first, &created()).await;
    let second = server.accept().await;
    assert!((&mut flush).now_or_never().is_none());
    respond(second, &created()).await;
    flush.await.unwrap();
    queue.flush().await.unwrap();
}

#[tokio::test]
async fn a_dropped_queue_discards_its_events() {
    let (server, queue, mut first) = begun().await;
    let ack = queue.send("1").await.unwrap();
    drop(queue);
    assert!(matches!(ack.await, Err(PublishError::QueueDropped)));
    first.read_to_end().await;
    drop(server);
}

#[tokio::test]
async fn an_empty_queue_publishes_nothing() {
    let publisher = Publisher::new("http://127.0.0.1:9").unwrap();
    let queue = publisher.queue("t").unwrap();
    queue.flush().await.unwrap();
    assert_eq!(queue.finish().await.unwrap().count, 0);
    assert!(publisher.queue("..").is_err());
}
