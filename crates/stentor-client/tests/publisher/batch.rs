//! Events that are published together.

use std::time::Duration;

use serde_json::{Value, json};
use stentor_client::{Batch, Event, EventType, Publisher};

use crate::support::Server;
use crate::{created_many, unavailable};

#[tokio::test]
async fn a_batch_is_one_request_under_one_key() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("/live")).unwrap();
    let mut batch: Batch = [("a", Event::new("1\r\n2"))].into_iter().collect();
    let event = Event::new("").with_type(EventType::new("tick").unwrap());
    batch.push("b/c", event.with_retry(Duration::from_secs(2)));
    let (requests, result) =
        tokio::join!(server.respond([unavailable(), created_many(2, 2)]), publisher.batch(batch));
    for request in &requests {
        assert_eq!(request.line(), "POST /live/topics");
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("idempotency-key"), requests[0].header("idempotency-key"));
        assert!(request.header("idempotency-key").is_some());
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let second = json!({"topic": "b/c", "data": "", "type": "tick", "retry": 2_000});
        assert_eq!(body, json!([{"topic": "a", "data": "1\r\n2"}, second]));
    }
    let all = result.unwrap();
    assert_eq!((all.count, all.last_id.as_deref()), (2, Some("c2")));
}

#[tokio::test]
async fn the_key_of_a_batch_can_be_set() {
    let server = Server::start().await;
    let publisher = Publisher::new(server.url("")).unwrap();
    let mut batch = Batch::new().with_idempotency_key("order-7");
    batch.push("a", Event::new("1"));
    let (requests, _) = tokio::join!(server.respond([created_many(1, 1)]), publisher.batch(batch));
    assert_eq!(requests[0].header("idempotency-key"), Some("order-7"));
}
