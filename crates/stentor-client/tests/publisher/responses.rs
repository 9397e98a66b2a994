//! Requests of a publisher, and results for each response.

use std::time::Duration;

use stentor_client::{Event, EventType, Publish, PublishError, Published, Publisher};

use crate::created;
use crate::support::{Request, Server, response};

/// Publishes to a server that sends this response.
async fn publish(
    response: &str,
    topic: &str,
    publish: impl Into<Publish>,
) -> (Request, Result<Published, PublishError>) {
    let server = Server::start().await;
    let publisher = Publisher::builder(server.url("")).attempts_max(1).build().unwrap();
    let (mut requests, result) =
        tokio::join!(server.respond([response]), publisher.publish(topic, publish));
    (requests.remove(0), result)
}

#[tokio::test]
async fn text_is_published_as_text() {
    let (request, published) = publish(&created(), "a b/c", "hé\nllo").await;
    assert_eq!(request.line(), "POST /topics/a%20b/c");
    assert_eq!(request.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(request.body, "hé\nllo");
    let published = published.unwrap();
    assert_eq!((published.count, published.last_id.as_deref()), (1, Some("c1")));
}

#[tokio::test]
async fn options_are_query_parameters() {
    let event = Event::new("x").with_type(EventType::new("a&b").unwrap());
    let event = event.with_retry(Duration::from_secs(3));
    let with_options =
        Publish::event(event).and_end("all done").with_lease(Duration::from_secs(30));
    let (request, _) = publish(&created(), "t", with_options).await;
    assert_eq!(request.line(), "POST /topics/t?type=a%26b&retry=3000&end=all+done&lease=30");
}

#[tokio::test]
async fn dedupe_by_id_sends_no_other_key() {
    let body = Publish::body("text/event-stream", "id: 1\ndata: a\n\n").dedupe_by_id();
    let (request, _) = publish(&created(), "t", body).await;
    assert_eq!(request.line(), "POST /topics/t?dedupe=id");
    assert_eq!(request.header("idempotency-key"), None);
}

#[tokio::test]
async fn an_end_without_an_event_has_no_body() {
    let (request, _) = publish(&created(), "t", Publish::end("")).await;
    assert_eq!(request.line(), "POST /topics/t?end=");
    assert_eq!(request.body, "");
}

#[tokio::test]
async fn a_body_keeps_its_type_and_may_become_many_events() {
    let many =
        response("201 Created", "", r#"{"topic":"t","count":2,"first_id":"c1","last_id":"c2"}"#);
    let body = Publish::body("application/x-ndjson", "1\n2\n");
    let (request, published) = publish(&many, "t", body).await;
    assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(published.unwrap().count, 2);
}

#[tokio::test]
async fn a_refusal_contains_the_problem_of_the_server() {
    let problem =
        r#"{"title":"Conflict","status":409,"code":"topic-ended","detail":"the topic has ended"}"#;
    let refusal = response("409 Conflict", "content-type: application/problem+json\r\n", problem);
    let (_, result) = publish(&refusal, "t", "x").await;
    match result.unwrap_err() {
        PublishError::Refused { status, problem: Some(problem), .. } => {
            assert_eq!(status.as_u16(), 409);
            assert_eq!(problem.code.as_deref(), Some("topic-ended"));
            assert_eq!(problem.to_string(), "the topic has ended");
        }
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_refusal_without_a_problem_contains_the_status() {
    let refusal = response("502 Bad Gateway", "content-type: text/html\r\n", "<h1>oh</h1>");
    let (_, result) = publish(&refusal, "t", "x").await;
    let text = result.unwrap_err().to_string();
    assert!(
        text.starts_with("the server responded with 502 Bad Gateway; it may be published"),
        "{text}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let moved = response("308 Permanent Redirect", "location: //elsewhere/topics/t\r\n", "");
    let (_, result) = publish(&moved, "t", "secret").await;
    match result.unwrap_err() {
        PublishError::Redirected { location, .. } => {
            assert_eq!(location, "http://elsewhere/topics/t");
        }
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_response_of_another_server_is_an_error() {
    let (_, result) = publish(&response("200 OK", "", "hello"), "t", "x").await;
    assert!(matches!(result, Err(PublishError::UnexpectedResponse)));
}

#[tokio::test]
async fn an_unreachable_server_is_an_error() {
    let server = Server::start().await;
    let publisher = Publisher::builder(server.url("")).attempts_max(1).build().unwrap();
    drop(server);
    let result = publisher.publish("t", "x").await;
    assert!(matches!(result, Err(PublishError::Unreachable { .. })));
}

#[tokio::test]
async fn a_topic_that_cannot_be_in_a_url_is_refused_before_anything_is_sent() {
    let publisher = Publisher::new("http://127.0.0.1:9").unwrap();
    for topic in ["", ".", ".."] {
        assert!(
            matches!(publisher.publish(topic, "x").await, Err(PublishError::Topic(_))),
            "{topic:?}"
        );
    }
}
