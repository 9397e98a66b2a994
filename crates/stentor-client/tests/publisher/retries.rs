//! Retries of a publish.

use std::time::Duration;

use stentor_client::{Publish, PublishError, Published, Publisher, PublisherBuilder};
use tokio::time::Instant;

use crate::support::{Request, Server, response};
use crate::{created, ended, repeated, unavailable};

/// Sent by a server that closes the connection before its response.
const NOTHING: &str = "";

/// Publishes to a server that sends these responses.
async fn publish(
    responses: &[&str],
    set_up: impl FnOnce(PublisherBuilder) -> PublisherBuilder,
    publish: impl Into<Publish>,
) -> (Vec<Request>, Result<Published, PublishError>) {
    let server = Server::start().await;
    let publisher = set_up(Publisher::builder(server.url(""))).build().unwrap();
    tokio::join!(server.respond(responses), publisher.publish("t", publish))
}

fn unchanged(builder: PublisherBuilder) -> PublisherBuilder {
    builder
}

fn key(request: &Request) -> &str {
    request.header("idempotency-key").expect("a key")
}

/// Asserts that the request was sent `count` times, with one key.
fn assert_same(requests: &[Request], count: usize) {
    assert_eq!(requests.len(), count);
    for request in requests {
        assert_eq!((request.line(), request.body.as_str()), ("POST /topics/t", "x"));
        assert_eq!(key(request), key(&requests[0]));
    }
}

#[tokio::test]
async fn a_transient_failure_is_retried_with_the_same_key() {
    for refusal in
        ["408 Request Timeout", "429 Too Many Requests", "500 Oh", "503 Not Now", "520 ?"]
    {
        let refusal = response(refusal, "", "");
        let (requests, result) = publish(&[&refusal, &refusal, &created()], unchanged, "x").await;
        assert_same(&requests, 3);
        assert!(!result.unwrap().repeat);
    }
}

#[tokio::test]
async fn a_publish_is_retried_after_a_lost_response() {
    let half = "HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{\"topic\":";
    for lost in [NOTHING, "HTTP/1.1 201 Cre", half] {
        let (requests, result) = publish(&[lost, &repeated()], unchanged, "x").await;
        assert_same(&requests, 2);
        let published = result.unwrap();
        assert_eq!((published.repeat, published.last_id.as_deref()), (true, Some("c1")));
    }
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let busy = response("429 Too Many Requests", "retry-after: 1\r\n", "");
    let began = Instant::now();
    let (requests, result) = publish(&[&busy, &created()], unchanged, "x").await;
    assert_same(&requests, 2);
    assert!(result.is_ok() && began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_retry_after_beyond_the_time_limit_is_an_error() {
    let busy = response("429 Slow Down", "retry-after: 3600\r\n", "");
    let (_, result) = publish(&[&busy], unchanged, "x").await;
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), "the server responded with 429 Too Many Requests");
    assert!(!error.may_be_published());
}

#[tokio::test]
async fn a_publish_is_retried_after_a_timeout() {
    let server = Server::start().await;
    let publisher =
        Publisher::builder(server.url("")).request_timeout(Duration::from_secs(1)).build().unwrap();
    let responses = async {
        let silent = server.accept().await;
        // On a busy machine even the response may arrive after the timeout of an attempt.
        loop {
            let mut good = server.accept().await;
            assert_eq!(key(&good.request), key(&silent.request));
            good.write(&repeated()).await;
        }
    };
    tokio::select! {
        () = responses => {}
        result = publisher.publish("t", "x") => assert!(result.unwrap().repeat),
    }
}

#[tokio::test]
async fn a_permanent_refusal_is_not_retried() {
    let (requests, result) = publish(&[&ended()], unchanged, "x").await;
    assert_same(&requests, 1);
    match result.unwrap_err() {
        PublishError::Refused { status, attempts, .. } => {
            assert_eq!((status.as_u16(), attempts.count, attempts.in_doubt), (409, 1, false));
        }
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_last_error_says_how_to_continue() {
    let limited = |builder: PublisherBuilder| builder.attempts_max(2);
    let (requests, result) = publish(&[NOTHING, &unavailable()], limited, "x").await;
    let error = result.unwrap_err();
    assert!(error.may_be_published());
    let text = error.to_string();
    assert!(text.contains("503") && text.contains("2 attempts"), "{text}");
    assert!(text.contains(key(&requests[0])), "{text}");
}

#[tokio::test]
async fn the_key_of_a_publish_is_used() {
    let event = Publish::from("x").with_idempotency_key("order-7");
    let (requests, _) = publish(&[&unavailable(), &created()], unchanged, event).await;
    assert_same(&requests, 2);
    assert_eq!(key(&requests[0]), "order-7");
}

#[tokio::test]
async fn an_invalid_key_is_refused_before_anything_is_sent() {
    let publisher = Publisher::new("http://127.0.0.1:9").unwrap();
    for bad in ["", "two words", "ü", &"x".repeat(257)] {
        let event = Publish::from("x").with_idempotency_key(bad);
        let result = publisher.publish("t", event).await;
        assert!(matches!(result, Err(PublishError::Key { .. })), "{bad:?}");
    }
}

#[tokio::test]
async fn every_publish_has_another_key() {
    let server = Server::start().await;
    let one = Publisher::new(server.url("")).unwrap();
    let other = Publisher::new(server.url("")).unwrap();
    let publish = async {
        for publisher in [&one, &one, &one.clone(), &other] {
            publisher.publish("t", "x").await.unwrap();
        }
    };
    let (requests, ()) = tokio::join!(server.respond([(); 4].map(|()| created())), publish);
    let mut keys: Vec<_> = requests.iter().map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 4);
}

#[tokio::test]
async fn without_keys_a_publish_in_doubt_is_not_retried() {
    let keyless = |builder: PublisherBuilder| builder.idempotency_keys(false);
    let (requests, result) = publish(&[&unavailable(), &created()], keyless, "x").await;
    assert_eq!(requests[1].header("idempotency-key"), None);
    assert!(result.is_ok());
    for doubtful in [NOTHING, &response("502 Bad Gateway", "", "")] {
        let (_, result) = publish(&[doubtful], keyless, "x").await;
        let error = result.unwrap_err();
        assert!(
            error.may_be_published() && error.to_string().contains("check the topic"),
            "{error}"
        );
    }
}
