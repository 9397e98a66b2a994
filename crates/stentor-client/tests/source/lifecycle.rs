//! Connection state, reconnecting, closing and dropping.

use std::time::Duration;

use stentor_client::{EventSource, State, StatusCode, Version};

use crate::support::{NO_CONTENT, STREAM, Server, response, stream};
use crate::{data_of, quick, source, until_waiting};

#[tokio::test]
async fn the_state_follows_the_connection() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    assert!(matches!(source.state(), State::Connecting));
    let (_, event) = tokio::join!(server.respond([stream("data: a\n\n")]), source.next());
    assert!(event.is_some());
    assert!(matches!(source.state(), State::Open(_)));
    let (_, end) = tokio::join!(server.respond([NO_CONTENT]), source.next());
    assert!(end.is_none());
    assert!(matches!(source.state(), State::Closed));
}

#[tokio::test]
async fn the_state_of_an_open_stream_contains_the_response_head() {
    let server = Server::start().await;
    let mut source = source(&server.url("/old").replace("http://", "http://user:secret@"));
    let responses = [
        response("302 Found", "location: /new?x\r\n", ""),
        STREAM.replace("\r\n\r\n", "\r\nx-node: 7\r\n\r\ndata: a\n\n"),
    ];
    tokio::join!(server.respond(responses), source.next());
    let State::Open(head) = source.state() else { panic!("{:?}", source.state()) };
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(head.version, Version::HTTP_11);
    assert_eq!(head.url.as_str(), server.url("/new?x"));
    assert_eq!(head.headers["x-node"], "7");
}

#[tokio::test]
async fn a_reconnect_continues_after_the_last_id() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection.write(&stream("id: 1\ndata: a\n\nid: 2\ndata: cut")).await;
        connection
    };
    let (mut connection, event) = tokio::join!(script, source.next());
    assert_eq!(event.unwrap().unwrap().data(), "a");
    source.reconnect();
    assert!(matches!(source.state(), State::Connecting));
    connection.closed_by_client().await;
    let (requests, _) = tokio::join!(server.respond([NO_CONTENT]), source.next());
    assert_eq!(requests[0].last_event_id(), Some("1"));
}

#[tokio::test]
async fn a_reconnect_ends_a_wait() {
    let server = Server::start().await;
    let mut source = EventSource::new(server.url("/")).unwrap();
    let busy = response("503 Service Unavailable", "retry-after: 3600\r\n", "");
    tokio::join!(server.respond([busy]), until_waiting(&mut source));
    source.reconnect();
    let responses = [stream("retry: 0\ndata: a\n\n"), NO_CONTENT.to_owned()];
    let (_, data) = tokio::join!(server.respond(responses), data_of(&mut source));
    assert_eq!(data, ["a"]);
}

#[tokio::test]
async fn a_source_closed_while_it_waits_stays_closed() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let responses = [response("503 Service Unavailable", "retry-after: 60\r\n", "")];
    tokio::join!(server.respond(responses), until_waiting(&mut source));
    source.close();
    source.reconnect();
    assert!(source.next().await.is_none());
    assert!(matches!(source.state(), State::Closed));
}

#[tokio::test]
async fn dropping_or_closing_a_source_closes_the_connection() {
    for is_dropped in [true, false] {
        let server = Server::start().await;
        let mut source = source(&server.url("/"));
        let script = async {
            let mut connection = server.accept().await;
            connection.write(&stream("data: a\n\n")).await;
            connection
        };
        let (mut connection, _) = tokio::join!(script, source.next());
        let _kept = if is_dropped {
            drop(source);
            None
        } else {
            source.close();
            Some(source)
        };
        connection.closed_by_client().await;
    }
}

#[tokio::test]
async fn a_source_may_be_dropped_while_it_connects_or_waits() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let mut connection = tokio::select! {
        connection = server.accept() => connection,
        item = source.next() => panic!("{item:?}"),
    };
    drop(source);
    connection.closed_by_client().await;
}

#[tokio::test]
async fn a_source_can_move_to_another_task() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let task = tokio::spawn(async move {
        let event = source.next().await.unwrap().unwrap();
        source.commit().await.unwrap();
        event.into_data()
    });
    server.respond([stream("data: a\n\n")]).await;
    assert_eq!(task.await.unwrap(), "a");
}

#[tokio::test]
async fn the_last_event_id_is_that_of_the_last_returned_event() {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).last_event_id("0").build().unwrap();
    let body = "data: a\n\nid: 1\ndata: b\n\ndata: c\n\nid: 2\n\ndata: d\n\nid\ndata: e\n\n";
    let read = async {
        let mut ids = Vec::new();
        while let Some(event) = source.next().await {
            ids.push((event.unwrap().into_data(), source.last_event_id().to_owned()));
        }
        ids
    };
    let responses = [stream(body), NO_CONTENT.to_owned()];
    let (_, ids) = tokio::join!(server.respond(responses), read);
    let ids: Vec<_> = ids.iter().map(|(data, id)| (data.as_str(), id.as_str())).collect();
    assert_eq!(ids, [("a", "0"), ("b", "1"), ("c", "1"), ("d", "2"), ("e", "")]);
}

#[test]
fn invalid_options_are_build_errors() {
    for url in ["news", "file:///etc/passwd", "http://"] {
        assert!(EventSource::new(url).is_err(), "{url}");
    }
    let builder = || EventSource::builder("http://h").idle_timeout(Duration::from_secs(1));
    for (fault, text) in [
        (builder().header("x", "a\nb"), "the header `x` is not valid"),
        (builder().header("x y", "a"), "the header `x y` is not valid"),
        (builder().method("GET /"), "`GET /` is not an HTTP method"),
        (builder().proxy("::"), "the proxy URL is not valid"),
        (builder().root_certificates("none"), "cannot read the root certificates"),
    ] {
        let error = fault.build().unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
}

#[test]
fn debug_output_contains_no_secrets() {
    let builder = EventSource::builder("http://user:secret@h/")
        .header("authorization", "secret")
        .body("secret");
    assert!(!format!("{builder:?}").contains("secret"));
    assert!(!format!("{:?}", builder.build().unwrap()).contains("secret"));
}
