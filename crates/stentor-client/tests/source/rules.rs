//! The rules of the standard for connections (WHATWG HTML, section 9.2), C1 to C11, in `Mode::Spec`.
//!
//! C7 is about CORS preflights of web pages. It does not apply to programs.

use std::time::Duration;

use stentor_client::reconnect::Mode;
use stentor_client::{EventSource, EventSourceError, State};
use tokio::time::Instant;

use crate::support::{NO_CONTENT, Request, Server, response, stream};
use crate::{data_of, fatal_error, quick, until_waiting};

const STREAM_TYPE: &str = "content-type: text/event-stream\r\n";

/// Creates a source in spec mode with the shortest delays.
fn source(url: &str) -> EventSource {
    quick(url).mode(Mode::Spec).build().unwrap()
}

/// Returns the requests and the data of a source in spec mode. All responses must be requested.
async fn subscribe<T: AsRef<str>>(
    responses: impl IntoIterator<Item = T>,
) -> (Vec<Request>, Vec<String>) {
    let server = Server::start().await;
    let mut source = source(&server.url("/s?x=1"));
    tokio::join!(server.respond(responses), data_of(&mut source))
}

/// Returns the fatal error of a source in spec mode for this response.
async fn error_of(response: String) -> EventSourceError {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    tokio::join!(server.respond([response]), fatal_error(&mut source)).1
}

#[tokio::test]
async fn c1_a_request_is_a_get_for_an_event_stream_without_caching() {
    let (requests, _) = subscribe([stream("data: a\n\n"), NO_CONTENT.to_owned()]).await;
    for request in &requests {
        assert_eq!(request.line(), "GET /s?x=1");
        assert_eq!(request.header("accept"), Some("text/event-stream"));
        assert_eq!(request.header("cache-control"), Some("no-cache"));
        assert_eq!(request.header("last-event-id"), None);
        assert_eq!(request.header("cookie"), None);
    }
}

#[tokio::test]
async fn c2_a_200_with_the_content_type_opens_with_any_parameters() {
    for content_type in [
        "text/event-stream",
        "Text/Event-STREAM",
        "text/event-stream;",
        "text/event-stream; charset=iso-8859-1",
        "text/event-stream ;x=y;z",
    ] {
        let body = response("200 OK", &format!("content-type: {content_type}\r\n"), "data: ü\n\n");
        let (_, data) = subscribe([body, NO_CONTENT.to_owned()]).await;
        assert_eq!(data, ["ü"], "{content_type}");
    }
}

#[tokio::test]
async fn c2_another_content_type_is_fatal_and_not_read() {
    for (headers, content_type) in [
        ("content-type: text/html\r\n", Some("text/html")),
        ("content-type: text/event-stream x\r\n", Some("text/event-stream x")),
        ("content-type: text/event-streams\r\n", Some("text/event-streams")),
        ("content-type: application/x-ndjson\r\n", Some("application/x-ndjson")),
        ("", None),
    ] {
        match error_of(response("200 OK", headers, "data: no\n\n")).await {
            EventSourceError::ContentType { content_type: found } => {
                assert_eq!(found.as_deref(), content_type);
            }
            error => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn c3_a_204_is_the_end() {
    let (requests, data) = subscribe([stream("data: a\n\n"), NO_CONTENT.to_owned()]).await;
    assert_eq!(data, ["a"]);
    assert_eq!(requests.len(), 2);
}

#[tokio::test]
async fn c3_any_other_status_is_fatal_even_with_the_content_type() {
    let statuses = [201, 205, 206, 210, 299, 300, 304, 400, 401, 404, 410, 429, 500, 502, 503, 504];
    for status in statuses {
        let headers = format!("{STREAM_TYPE}retry-after: 0\r\n");
        let error = error_of(response(&format!("{status} X"), &headers, "")).await;
        match error {
            EventSourceError::Status { status: found, .. } => assert_eq!(found.as_u16(), status),
            error => panic!("{status}: {error}"),
        }
    }
}

#[tokio::test]
async fn c3_the_error_of_a_fatal_status_contains_the_problem() {
    let headers = "content-type: application/problem+json\r\n";
    let body = r#"{"status":404,"code":"path","detail":"write /topics/NAME"}"#;
    let error = error_of(response("404 Not Found", headers, body)).await;
    assert_eq!(error.to_string(), "the server responded with 404 Not Found: write /topics/NAME");
}

#[tokio::test]
async fn c4_a_reconnect_starts_at_the_original_url() {
    for status in [301, 302, 303, 307, 308] {
        let redirect =
            |to: &str| response(&format!("{status} Moved"), &format!("location: {to}\r\n"), "");
        let server = Server::start().await;
        let mut source = source(&server.url("/old/s"));
        let responses = [
            redirect("../new?a"),
            stream("id: 1\ndata: a\n\n"),
            redirect("/newer"),
            stream("id: 2\ndata: b\n\n"),
            NO_CONTENT.to_owned(),
        ];
        let (requests, data) = tokio::join!(server.respond(responses), data_of(&mut source));
        assert_eq!(data, ["a", "b"]);
        let seen: Vec<_> =
            requests.iter().map(|request| (request.line(), request.last_event_id())).collect();
        let expected = [
            ("GET /old/s", None),
            ("GET /new?a", None),
            ("GET /old/s", Some("1")),
            ("GET /newer", Some("1")),
            ("GET /old/s", Some("2")),
        ];
        assert_eq!(seen, expected, "{status}");
    }
}

#[tokio::test]
async fn c4_a_redirect_without_a_location_is_an_ordinary_status() {
    let error = error_of(response("302 Found", STREAM_TYPE, "")).await;
    assert!(matches!(error, EventSourceError::Status { .. }), "{error}");
}

#[tokio::test]
async fn c5_a_stream_that_ends_is_requested_again() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 99\r\n\r\n\
               data: b\n\n";
    let responses = [&stream("data: a\n\n"), cut, "", "HTTP/1.1 2", NO_CONTENT];
    let (requests, data) = subscribe(responses).await;
    assert_eq!(data, ["a", "b"]);
    assert_eq!(requests.len(), 5);
}

#[tokio::test]
async fn c5_a_reconnect_waits_for_the_reconnection_time() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let before = Instant::now();
    let (_, (until, reason)) =
        tokio::join!(server.respond([stream("retry: 60000\n")]), until_waiting(&mut source));
    assert!(until - before >= Duration::from_mins(1));
    assert!(matches!(reason, EventSourceError::Ended));
}

#[tokio::test]
async fn c6_a_reconnect_sends_the_last_event_id() {
    let responses =
        [stream("id: ü1\ndata: a\n\n"), stream("id: 8\ndata: b\n\n"), NO_CONTENT.to_owned()];
    let (requests, _) = subscribe(responses).await;
    let ids: Vec<_> = requests.iter().map(Request::last_event_id).collect();
    assert_eq!(ids, [None, Some("ü1"), Some("8")]);
}

#[tokio::test]
async fn c6_an_id_outlives_connections_without_ids() {
    let responses =
        [stream("id: 1\ndata: a\n\n"), stream("data: b\n\n"), stream(""), NO_CONTENT.to_owned()];
    let (requests, data) = subscribe(responses).await;
    assert_eq!(data, ["a", "b"]);
    let ids: Vec<_> = requests.iter().map(Request::last_event_id).collect();
    assert_eq!(ids, [None, Some("1"), Some("1"), Some("1")]);
}

#[tokio::test]
async fn c6_an_id_counts_without_data_and_an_unfinished_one_does_not() {
    let (requests, data) =
        subscribe([stream("id: 1\n\nid: 2\ndata: cut\n"), NO_CONTENT.to_owned()]).await;
    assert!(data.is_empty());
    assert_eq!(requests[1].last_event_id(), Some("1"));
}

#[tokio::test]
async fn c6_an_empty_id_stops_the_header() {
    for empty in ["id\n", "id:\n", "id: \n"] {
        let responses = [
            stream("id: 5\ndata: a\n\n"),
            stream(&format!("{empty}data: b\n\n")),
            NO_CONTENT.to_owned(),
        ];
        let (requests, _) = subscribe(responses).await;
        assert_eq!(requests[1].last_event_id(), Some("5"));
        assert!(!requests[2].head().to_lowercase().contains("last-event-id"), "{empty:?}");
    }
}

#[tokio::test]
async fn c6_an_id_that_is_not_a_valid_header_is_omitted() {
    for odd in ["a\u{C}b", "\u{1B}[2J", "\u{7F}"] {
        let responses = [
            stream(&format!("id: {odd}\ndata: a\n\n")),
            stream("id: 2\ndata: b\n\n"),
            NO_CONTENT.to_owned(),
        ];
        let (requests, data) = subscribe(responses).await;
        assert_eq!(data, ["a", "b"], "{odd:?}");
        assert_eq!(requests[1].last_event_id(), None, "{odd:?}");
        assert_eq!(requests[2].last_event_id(), Some("2"), "{odd:?}");
    }
}

#[tokio::test]
async fn c8_a_source_connects_opens_and_closes_permanently() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    assert!(matches!(source.state(), State::Connecting));
    let (_, event) = tokio::join!(server.respond([stream("data: a\n\n")]), source.next());
    assert!(event.is_some());
    assert!(matches!(source.state(), State::Open(_)));
    source.close();
    assert!(matches!(source.state(), State::Closed));
    source.reconnect();
    assert!(source.next().await.is_none());
}

#[tokio::test]
async fn c9_the_default_reconnection_time_is_two_seconds() {
    let server = Server::start().await;
    let mut source = EventSource::builder(server.url("/")).mode(Mode::Spec).build().unwrap();
    let before = Instant::now();
    let (_, (until, _)) = tokio::join!(server.respond([stream("")]), until_waiting(&mut source));
    assert!(until - before >= EventSource::RECONNECTION_TIME);
}

#[tokio::test]
async fn c10_comments_and_keep_alives_are_not_events() {
    let body = ": hi\n\n:\n\nretry: 1\n\nevent: x\n\n: x\ndata: a\n: y\n\n";
    let (_, data) = subscribe([stream(body), NO_CONTENT.to_owned()]).await;
    assert_eq!(data, ["a"]);
}

#[tokio::test]
async fn c11_a_source_reconnects_until_it_is_closed() {
    let (requests, data) =
        subscribe(["", &stream(""), "", &stream("data: a\n\n"), NO_CONTENT]).await;
    assert_eq!(data, ["a"]);
    assert_eq!(requests.len(), 5);
}
