//! What a program sees that follows a stream, and what the server sees of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use futures_util::StreamExt;
use stentor_client::{EventSource, EventSourceError, RedirectError, State};
use support::{NOTHING_MORE, Server, answer, stream};
use tokio::time::Instant;

/// A source that comes back at once.
fn source(url: &str) -> EventSource {
    EventSource::builder(url).reconnection_time(Duration::ZERO).build().unwrap()
}

/// The data of all events, up to the end.
async fn data_of(source: &mut EventSource) -> Vec<String> {
    let mut data = Vec::new();
    while let Some(event) = source.next().await {
        data.push(event.unwrap().into_data());
    }
    data
}

/// Follows the source, which is to give no event, until it waits.
async fn until_waiting(source: &mut EventSource) -> (Instant, EventSourceError) {
    let mut states = source.states();
    let waiting = async {
        match states.wait_for(|state| matches!(state, State::Waiting { .. })).await.unwrap().clone()
        {
            State::Waiting { until, reason, .. } => (until, reason),
            _ => unreachable!(),
        }
    };
    tokio::select! {
        item = source.next() => panic!("instead of a wait: {item:?}"),
        waiting = waiting => waiting,
    }
}

/// The one error, and then the end.
async fn fatal_error(source: &mut EventSource) -> EventSourceError {
    let error = source.next().await.expect("an error").expect_err("an error");
    assert!(source.next().await.is_none(), "an error is the last item");
    assert!(matches!(source.state(), State::Closed));
    error
}

#[tokio::test]
async fn a_204_ends_the_source() {
    let server = Server::start().await;
    let mut source = source(&server.url("/s"));
    let answers = [stream("data: a\n\n"), NOTHING_MORE.to_owned()];
    let (requests, data) = tokio::join!(server.answer(answers), data_of(&mut source));
    assert_eq!(data, ["a"]);
    assert_eq!(requests.len(), 2);
    assert!(matches!(source.state(), State::Closed));
}

#[tokio::test]
async fn a_request_says_what_it_wants_and_a_reconnect_where_to_go_on() {
    let server = Server::start().await;
    let mut source = source(&server.url("/s?x=1"));
    let answers =
        [stream("id: 7\ndata: a\n\n"), stream("id: 8\ndata: b\n\n"), NOTHING_MORE.to_owned()];
    let (requests, data) = tokio::join!(server.answer(answers), data_of(&mut source));
    assert_eq!(data, ["a", "b"]);
    for request in &requests {
        assert_eq!(request.line(), "GET /s?x=1");
        assert_eq!(request.header("accept"), Some("text/event-stream"));
        assert_eq!(request.header("cache-control"), Some("no-cache"));
    }
    let ids: Vec<_> = requests.iter().map(support::Request::last_event_id).collect();
    assert_eq!(ids, [None, Some("7"), Some("8")]);
}

#[tokio::test]
async fn an_id_outlives_connections_that_send_none() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let answers = [stream("id: ü1\ndata: a\n\n"), stream("data: b\n\n"), NOTHING_MORE.to_owned()];
    let (requests, data) = tokio::join!(server.answer(answers), data_of(&mut source));
    assert_eq!(data, ["a", "b"]);
    assert_eq!(requests[1].last_event_id(), Some("ü1"));
    assert_eq!(requests[2].last_event_id(), Some("ü1"));
    assert_eq!(source.last_event_id(), "ü1");
}

#[tokio::test]
async fn an_id_counts_without_data_and_an_unfinished_one_does_not() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let answers = [stream("id: 1\n\nid: 2\ndata: cut\n"), NOTHING_MORE.to_owned()];
    let (requests, data) = tokio::join!(server.answer(answers), data_of(&mut source));
    assert!(data.is_empty());
    assert_eq!(requests[1].last_event_id(), Some("1"));
}

#[tokio::test]
async fn an_empty_id_stops_the_header() {
    let server = Server::start().await;
    let mut source = EventSource::builder(server.url("/"))
        .reconnection_time(Duration::ZERO)
        .last_event_id("5")
        .build()
        .unwrap();
    let answers = [stream("id\ndata: a\n\n"), NOTHING_MORE.to_owned()];
    let (requests, _) = tokio::join!(server.answer(answers), data_of(&mut source));
    assert_eq!(requests[0].last_event_id(), Some("5"));
    assert_eq!(requests[1].last_event_id(), None);
}

#[tokio::test]
async fn an_id_that_no_header_can_hold_is_left_out_and_the_stream_goes_on() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let answers =
        [stream("id: a\u{C}b\ndata: a\n\n"), stream("id: 2\ndata: b\n\n"), NOTHING_MORE.to_owned()];
    let (requests, data) = tokio::join!(server.answer(answers), data_of(&mut source));
    assert_eq!(data, ["a", "b"]);
    assert_eq!(requests[1].last_event_id(), None);
    assert_eq!(requests[2].last_event_id(), Some("2"));
}

#[tokio::test]
async fn a_cr_ends_a_block_at_once_and_its_late_lf_is_no_line() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection.write(&stream("data: a\r\n\r")).await;
        connection
    };
    let (mut connection, event) = tokio::join!(script, source.next());
    assert_eq!(event.unwrap().unwrap().data(), "a");

    connection.write("\ndata\n\ndata: b\r\n\r\n").await;
    assert_eq!(source.next().await.unwrap().unwrap().data(), "");
    assert_eq!(source.next().await.unwrap().unwrap().data(), "b");
}

#[tokio::test]
async fn dropping_the_future_of_half_an_event_loses_nothing() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection.write(&stream(": hi\n\ndata: ha")).await;
        connection
    };
    let (mut connection, piece) = tokio::join!(script, source.next_piece());
    assert_eq!(piece.unwrap().unwrap().bytes, ": hi\n");
    tokio::select! {
        biased;
        _ = source.next() => panic!("an event without its end"),
        () = tokio::task::yield_now() => {}
    }
    connection.write("lf\n\n").await;
    assert_eq!(source.next().await.unwrap().unwrap().data(), "half");
}

#[tokio::test]
async fn pieces_are_the_stream_byte_by_byte() {
    let body = "\u{FEFF}: hello\r\nretry: 0\n\nid: 1\rdata: x\r\rdata: cut";
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let read = async {
        let (mut bytes, mut items) = (Vec::new(), 0);
        while let Some(piece) = source.next_piece().await {
            let piece = piece.unwrap();
            bytes.extend_from_slice(&piece.bytes);
            items += usize::from(piece.item.is_some());
        }
        (bytes, items)
    };
    let answers = [stream(body), NOTHING_MORE.to_owned()];
    let (_, (bytes, items)) = tokio::join!(server.answer(answers), read);
    assert_eq!(String::from_utf8(bytes).unwrap(), body);
    assert_eq!(items, 3, "a comment, a retry and an event");
}

#[tokio::test]
async fn a_source_is_a_stream() {
    let server = Server::start().await;
    let events =
        source(&server.url("/")).map(|event| event.unwrap().into_data()).collect::<Vec<_>>();
    let (_, data) =
        tokio::join!(server.answer([stream("data: a\n\n"), NOTHING_MORE.to_owned()]), events);
    assert_eq!(data, ["a"]);
}

#[tokio::test]
async fn an_answer_of_another_type_is_fatal_and_not_read() {
    for (headers, content_type) in [
        ("content-type: text/html\r\n", Some("text/html")),
        ("content-type: text/event-stream x\r\n", Some("text/event-stream x")),
        ("", None),
    ] {
        let server = Server::start().await;
        let mut source = source(&server.url("/"));
        let answers = [answer("200 OK", headers, "data: no\n\n")];
        let (_, error) = tokio::join!(server.answer(answers), fatal_error(&mut source));
        match error {
            EventSourceError::ContentType { content_type: found } => {
                assert_eq!(found.as_deref(), content_type);
            }
            error => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn other_statuses_are_fatal_and_told_in_the_words_of_the_server() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let headers = "content-type: application/problem+json\r\n";
    let body = r#"{"status":404,"code":"path","detail":"write /topics/NAME"}"#;
    let answers = [answer("404 Not Found", headers, body)];
    let (_, error) = tokio::join!(server.answer(answers), fatal_error(&mut source));
    assert_eq!(error.to_string(), "the server answered 404 Not Found: write /topics/NAME");
}

#[tokio::test]
async fn another_2xx_of_the_right_type_is_fatal_too() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let answers = [answer("210 Odd", "content-type: text/event-stream\r\n", "data: no\n\n")];
    let (_, error) = tokio::join!(server.answer(answers), fatal_error(&mut source));
    assert!(matches!(error, EventSourceError::Status { status, .. } if status.as_u16() == 210));
}

#[tokio::test]
async fn a_redirect_is_followed_anew_from_the_original_address() {
    let server = Server::start().await;
    let mut source = source(&server.url("/old/s"));
    let redirect = |location: &str| answer("302 Found", &format!("location: {location}\r\n"), "");
    let answers = [
        redirect("../new?a"),
        stream("id: 1\ndata: a\n\n"),
        redirect("/newer"),
        stream("id: 2\ndata: b\n\n"),
        NOTHING_MORE.to_owned(),
    ];
    let (requests, data) = tokio::join!(server.answer(answers), data_of(&mut source));
    assert_eq!(data, ["a", "b"]);
    let seen: Vec<_> =
        requests.iter().map(|request| (request.line(), request.last_event_id())).collect();
    assert_eq!(
        seen,
        [
            ("GET /old/s", None),
            ("GET /new?a", None),
            ("GET /old/s", Some("1")),
            ("GET /newer", Some("1")),
            ("GET /old/s", Some("2")),
        ]
    );
}

#[tokio::test]
async fn headers_of_the_caller_stay_with_the_origin_they_are_for() {
    let (home, abroad) = (Server::start().await, Server::start().await);
    let mut source = EventSource::builder(home.url("/s"))
        .header("Authorization", "Bearer secret")
        .header("Cookie", "a=b")
        .header("X-Key", "secret")
        .last_event_id("9")
        .build()
        .unwrap();
    let redirect =
        |url: String| answer("307 Temporary Redirect", &format!("location: {url}\r\n"), "");
    let script = async {
        let first = home.answer([redirect(home.url("/t")), redirect(abroad.url("/u"))]).await;
        let second = abroad.answer([redirect(home.url("/v"))]).await;
        let third = home.answer([NOTHING_MORE]).await;
        (first, second, third)
    };
    let ((first, second, third), data) = tokio::join!(script, data_of(&mut source));
    assert!(data.is_empty());
    for request in &first {
        assert_eq!(request.header("authorization"), Some("Bearer secret"));
        assert_eq!(request.header("cookie"), Some("a=b"));
        assert_eq!(request.header("x-key"), Some("secret"));
    }
    for request in second.iter().chain(&third) {
        for secret in ["authorization", "cookie", "x-key"] {
            assert_eq!(request.header(secret), None, "{secret} at {}", request.line());
        }
        assert_eq!(request.last_event_id(), Some("9"));
        assert_eq!(request.header("accept"), Some("text/event-stream"));
    }
}

#[tokio::test]
async fn twenty_redirects_are_followed_and_not_one_more() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let redirects = vec![answer("301 Moved Permanently", "location: /\r\n", ""); 21];
    let (_, error) = tokio::join!(server.answer(redirects), fatal_error(&mut source));
    assert!(matches!(error, EventSourceError::Redirect(RedirectError::TooMany { limit: 20 })));
}

#[tokio::test]
async fn a_503_is_waited_out_for_as_long_as_it_asks() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let busy = answer("503 Service Unavailable", "retry-after: 90\r\n", "");
    let before = Instant::now();
    let (_, (until, reason)) = tokio::join!(server.answer([busy]), until_waiting(&mut source));
    assert!(until - before >= Duration::from_secs(90));
    assert!(matches!(reason, EventSourceError::Status { status, .. } if status.as_u16() == 503));
}

#[tokio::test]
async fn after_a_503_the_source_goes_on_where_it_was() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let answers = [
        answer("503 Service Unavailable", "retry-after: 0\r\n", ""),
        stream("id: 1\ndata: a\n\n"),
        answer("429 Too Many Requests", "", ""),
        NOTHING_MORE.to_owned(),
    ];
    let (requests, data) = tokio::join!(server.answer(answers), data_of(&mut source));
    assert_eq!(data, ["a"]);
    assert_eq!(requests[3].last_event_id(), Some("1"));
}

#[tokio::test]
async fn a_stream_sets_the_reconnection_time_without_an_event() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let before = Instant::now();
    let answers = [stream("retry: 60000\n")];
    let (_, (until, reason)) = tokio::join!(server.answer(answers), until_waiting(&mut source));
    assert!(until - before >= Duration::from_mins(1));
    assert!(matches!(reason, EventSourceError::Ended));
}

#[tokio::test]
async fn a_broken_connection_is_resumed_and_no_error() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let broken = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 999\r\n\r\n\
                  id: 1\ndata: a\n\n";
    let (requests, data) =
        tokio::join!(server.answer([broken, NOTHING_MORE]), data_of(&mut source));
    assert_eq!(data, ["a"]);
    assert_eq!(requests[1].last_event_id(), Some("1"));
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for() {
    let server = Server::start().await;
    let url = server.url("/");
    drop(server);
    let mut source = EventSource::new(url).unwrap();
    let (_, reason) = until_waiting(&mut source).await;
    assert!(matches!(reason, EventSourceError::Unreachable { .. }), "{reason}");
}

#[tokio::test]
async fn silence_is_a_lost_connection_if_asked_for() {
    let quiet = Duration::from_mins(1);
    for (head, state) in [(stream(": hi\n"), "in a stream"), (String::new(), "before the answer")] {
        let server = Server::start().await;
        let mut source = EventSource::builder(server.url("/")).idle_timeout(quiet).build().unwrap();
        let script = async {
            let mut connection = server.accept().await;
            connection.write(&head).await;
            connection
        };
        let connection = if head.is_empty() {
            tokio::select! {
                connection = script => connection,
                item = source.next() => panic!("{item:?}"),
            }
        } else {
            tokio::join!(script, source.next_piece()).0
        };
        // From here on there is nothing to come, so the clock may run ahead.
        tokio::time::pause();
        let (_, reason) = until_waiting(&mut source).await;
        tokio::time::resume();
        assert!(matches!(reason, EventSourceError::Silent { after } if after == quiet), "{state}");
        drop(connection);
    }
}

#[tokio::test]
async fn a_source_closed_while_it_waits_stays_closed() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let answers = [answer("503 Service Unavailable", "retry-after: 60\r\n", "")];
    tokio::join!(server.answer(answers), until_waiting(&mut source));
    source.close();
    assert!(source.next().await.is_none());
    assert!(matches!(source.state(), State::Closed));
}

#[tokio::test]
async fn states_tell_the_whole_story() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    assert!(matches!(source.state(), State::Connecting));
    let (_, event) = tokio::join!(server.answer([stream("data: a\n\n")]), source.next());
    assert!(event.is_some());
    assert!(matches!(source.state(), State::Open(_)));
    let (_, end) = tokio::join!(server.answer([NOTHING_MORE]), source.next());
    assert!(end.is_none());
    assert!(matches!(source.state(), State::Closed));
}

#[test]
fn what_cannot_be_requested_is_told_at_once() {
    for url in ["news", "file:///etc/passwd", "http://"] {
        assert!(EventSource::new(url).is_err(), "{url}");
    }
    assert!(EventSource::builder("http://h").header("x", "a\nb").build().is_err());
    assert!(EventSource::builder("http://h").header("x y", "a").build().is_err());
}
