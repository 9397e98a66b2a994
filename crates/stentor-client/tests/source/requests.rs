//! Requests with a method and a body.

use crate::support::{NO_CONTENT, Server, response, stream};
use crate::{data_of, quick};

#[tokio::test]
async fn method_and_body_are_sent_again_at_each_reconnect() {
    for (method, expected) in
        [(None, "POST /q"), (Some("QUERY"), "QUERY /q"), (Some("PUT"), "PUT /q")]
    {
        let server = Server::start().await;
        let mut builder = quick(&server.url("/q"))
            .header("content-type", "application/json")
            .body(r#"{"ask":1}"#);
        if let Some(method) = method {
            builder = builder.method(method);
        }
        let mut source = builder.build().unwrap();
        let responses = [stream("id: 1\ndata: a\n\n"), String::new(), NO_CONTENT.to_owned()];
        let (requests, data) = tokio::join!(server.respond(responses), data_of(&mut source));
        assert_eq!(data, ["a"]);
        assert_eq!(requests.len(), 3);
        for request in &requests {
            assert_eq!((request.line(), request.body.as_str()), (expected, r#"{"ask":1}"#));
            assert_eq!(request.header("content-type"), Some("application/json"));
            assert_eq!(request.header("accept"), Some("text/event-stream"));
        }
        assert_eq!(requests[2].last_event_id(), Some("1"));
    }
}

#[tokio::test]
async fn a_redirect_that_keeps_the_method_keeps_the_body() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/q")).body("ask").build().unwrap();
    let responses = [
        response("308 Moved", "location: /r\r\n", ""),
        stream("data: a\n\n"),
        NO_CONTENT.to_owned(),
    ];
    let (requests, _) = tokio::join!(server.respond(responses), data_of(&mut source));
    let seen: Vec<_> =
        requests.iter().map(|request| (request.line(), request.body.as_str())).collect();
    assert_eq!(seen, [("POST /q", "ask"), ("POST /r", "ask"), ("POST /q", "ask")]);
}

#[tokio::test]
async fn standard_headers_replace_those_of_the_caller() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/"))
        .header("accept", "text/html")
        .header("last-event-id", "x")
        .header("x-two", "1")
        .header("x-two", "2")
        .last_event_id("7")
        .build()
        .unwrap();
    let (requests, _) = tokio::join!(server.respond([NO_CONTENT]), data_of(&mut source));
    let head = requests[0].head().to_lowercase();
    assert_eq!(requests[0].header("accept"), Some("text/event-stream"));
    assert_eq!(requests[0].last_event_id(), Some("7"));
    assert_eq!(head.matches("last-event-id").count(), 1, "{head}");
    assert_eq!(head.matches("x-two").count(), 2, "{head}");
}
