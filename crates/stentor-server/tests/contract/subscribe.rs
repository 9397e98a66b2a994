//! `GET /topics/{topic}`: the forms of the response, and the beginning of a stream.

use std::collections::HashSet;

use crate::harness::{Response, Server, send_raw};

/// Returns the beginning of a stream, including its first position.
async fn beginning(server: &Server, path: &str) -> String {
    server.subscribe(path).await.until("event: stentor.cursor\ndata: \n\n").await
}

fn retry_of(text: &str) -> u64 {
    let first = text.lines().next().unwrap();
    first.strip_prefix("retry: ").unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

/// Returns the response for a topic that has ended, so that streams end too.
async fn response_to(server: &Server, accept: Option<&str>) -> Response {
    let request = server.get("/topics/over");
    accept.map_or(request.clone(), |accept| request.header("Accept", accept)).send().await
}

#[tokio::test]
async fn a_stream_begins_with_a_retry_a_comment_and_its_position() {
    let server = Server::start().await;
    let id = server.publish("/topics/news", "before").await;
    let text = beginning(&server, "/topics/news").await;
    assert!((1_500..=2_500).contains(&retry_of(&text)), "{text}");
    // One block: a blank line after the first two lines would be an empty event for some parsers.
    let lines: Vec<&str> = text.lines().collect();
    let [_, comment, position, "event: stentor.cursor", "data: ", ""] = lines[..] else {
        panic!("{text}")
    };
    assert!(comment.starts_with(':'), "{text}");
    let position = position.strip_prefix("id: ").unwrap();
    assert!(id.starts_with(position), "the position {position} of the event {id}");
}

#[tokio::test]
async fn an_empty_topic_streams_at_once_and_waits() {
    let server = Server::start().await;
    let mut stream = server.subscribe("/topics/later").await;
    assert!(!stream.position().await.is_empty());
    let id = server.publish("/topics/later", "the first").await;
    let event = stream.next_any().await.unwrap();
    assert_eq!((event.data.as_str(), event.id), ("the first", id));
}

#[tokio::test]
async fn every_reader_gets_its_own_delay_for_reconnects() {
    let server = Server::in_memory().await;
    let mut delays = HashSet::new();
    for _ in 0..20 {
        delays.insert(retry_of(&beginning(&server, "/topics/news").await));
    }
    assert!(delays.len() > 10, "{delays:?}");
    assert!(delays.iter().all(|delay| (1_500..=2_500).contains(delay)), "{delays:?}");
}

#[tokio::test]
async fn an_event_is_its_id_its_type_its_lines_of_data_and_a_blank_line() {
    let server = Server::start().await;
    let typed = server.publish("/topics/news?type=sport&retry=4000", "one\ntwo\r\n three\r").await;
    let empty = server.publish("/topics/news", "").await;
    let mut stream = server.subscribe("/topics/news?from=earliest").await;
    let text = stream.until(&format!("id: {empty}\ndata: \n\n")).await;
    let event = text.split("\n\n").find(|block| block.contains(&typed)).unwrap();
    let mut lines: Vec<&str> = event.lines().collect();
    assert!(lines.contains(&"retry: 4000"), "{event}");
    lines.retain(|line| *line != "retry: 4000");
    let id = format!("id: {typed}");
    let data = ["data: one", "data: two", "data:  three", "data: "];
    assert_eq!(lines, [&[id.as_str(), "event: sport"], &data[..]].concat());
}

#[tokio::test]
async fn a_stream_forbids_caching_and_buffering_and_reuse_of_its_connection() {
    let server = Server::start().await;
    let stream = server.subscribe("/topics/news").await;
    let head = &stream.head;
    assert_eq!(head.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(head.header("cache-control"), Some("no-cache, no-store, no-transform"));
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    assert_eq!(head.header("connection"), Some("close"));
    assert_eq!(head.header("vary"), Some("Accept, Origin"));
    assert_eq!(head.header("access-control-allow-origin"), None, "the request had no origin");
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_the_stream_without_chunks() {
    let server = Server::start().await;
    let id = server.publish("/topics/over?end", "last").await;
    let bytes = send_raw(&server.address, b"GET /topics/over?from=earliest HTTP/1.0\r\n\r\n").await;
    let response = Response::parse(&bytes);
    assert_eq!(response.status, 200);
    assert_eq!(response.header("transfer-encoding"), None);
    assert!(response.text().starts_with("retry: "), "{response:?}");
    assert!(response.text().contains(&format!("\n\nid: {id}\ndata: last\n\n")), "{response:?}");
}

#[tokio::test]
async fn head_answers_as_get_and_opens_no_stream() {
    let server = Server::start().await;
    let receipt = server.publish("/topics/over?end", "").await;
    let get = server.subscribe("/topics/news").await.head;
    server.until_metric("stentor_streams_open", 0).await;
    let begun = server.metric("stentor_streams_total").await;

    let head = server.request("HEAD", "/topics/news").send().await;
    assert_eq!((head.status, head.body.as_slice()), (200, &b""[..]));
    let named = |response: &Response| -> HashSet<(String, String)> {
        let unlike = ["date", "transfer-encoding"];
        response
            .headers
            .iter()
            .filter(|(name, _)| !unlike.contains(&name.as_str()))
            .cloned()
            .collect()
    };
    assert_eq!(named(&head), named(&get));
    let over =
        server.request("HEAD", "/topics/over").header("Last-Event-ID", &receipt).send().await;
    assert_eq!(over.status, 204);
    let misspelt = server.request("HEAD", "/topics/news?form=now").send().await;
    assert_eq!((misspelt.status, misspelt.body.as_slice()), (400, &b""[..]));
    assert_eq!(server.metric("stentor_streams_total").await, begun);
}

#[tokio::test]
async fn head_of_history_answers_with_the_headers_of_the_page() {
    let server = Server::start().await;
    server.publish("/topics/news", "hello").await;
    let get = server.get("/topics/news").header("Accept", "application/json").send().await;
    let head =
        server.request("HEAD", "/topics/news").header("Accept", "application/json").send().await;
    assert_eq!((head.status, head.body.as_slice()), (200, &b""[..]));
    for name in ["content-type", "cache-control", "vary"] {
        assert_eq!(head.header(name), get.header(name));
    }
    let length = head.header("content-length");
    assert!(length.is_none() || length == get.header("content-length"), "{length:?}");
}

#[tokio::test]
async fn the_accept_header_chooses_between_stream_lines_page_and_console() {
    let server = Server::start().await;
    server.publish("/topics/over?end", "last").await;
    let (stream, lines) = ("text/event-stream; charset=utf-8", "application/x-ndjson");
    let (page, html) = ("application/json", "text/html");
    for (accept, wanted) in [
        ("text/event-stream", stream),
        ("*/*", stream),
        ("image/png", stream),
        ("application/x-ndjson", lines),
        ("application/json", page),
        ("text/html", html),
        // An exact type beats a wildcard of equal weight,
        ("*/*, application/json", page),
        ("*/*;q=0.5, application/x-ndjson;q=0.5", lines),
        // then the higher weight wins,
        ("application/json;q=0.5, */*", stream),
        ("application/json;q=0.5, application/x-ndjson;q=0.9", lines),
        ("text/html;q=0.1, application/json;q=0.2", page),
        ("text/html, application/xhtml+xml, */*;q=0.8", html),
        // then the first.
        ("application/json, text/event-stream", page),
        ("text/event-stream, application/json", stream),
        // A weight of zero excludes the type.
        ("application/json;q=0, */*;q=0.1", stream),
    ] {
        let response = response_to(&server, Some(accept)).await;
        let (status, got) = match response.header("content-type") {
            None => (303, html),
            Some(got) => (200, got),
        };
        assert_eq!((response.status, got), (status, wanted), "{accept}");
        assert_eq!(response.header("vary"), Some("Accept, Origin"), "{accept}");
    }
    assert_eq!(response_to(&server, None).await.header("content-type"), Some(stream));
}

#[tokio::test]
async fn a_browser_that_navigates_is_redirected_to_the_topic_in_the_console() {
    let server = Server::start().await;
    for (path, location) in [
        ("/topics/news", "/#topic=news"),
        ("/topics/a%20b/c", "/#topic=a%20b/c"),
        ("/events?topic=news&topic=sport/*", "/#topic=news&topic=sport/*"),
    ] {
        let response = server.get(path).header("Accept", "text/html,*/*;q=0.8").send().await;
        assert_eq!(response.status, 303, "{response:?}");
        assert_eq!(response.header("location"), Some(location));
    }
    let console = server.get("/").header("Accept", "text/html").send().await;
    assert_eq!(console.status, 200);
    assert_eq!(console.header("content-type"), Some("text/html; charset=utf-8"));
}

#[tokio::test]
async fn a_misspelt_option_is_answered_with_the_right_name_and_one_with_an_underscore_is_ignored() {
    let server = Server::start().await;
    let response = server.get("/topics/news?form=earliest").send().await;
    assert!(response.problem(400, "query").contains("`from`"), "{response:?}");
    server.get("/topics/news?from=now&from=now").send().await.problem(400, "query");
    let mut stream = server.subscribe("/topics/news?_=1732&_cache=no").await;
    stream.position().await;
}

#[tokio::test]
async fn a_request_head_beyond_56_kib_is_refused() {
    let server = Server::start().await;
    let filler = "x".repeat(56 << 10);
    let response = server.get("/topics/news").header("X-Filler", &filler).send().await;
    assert_eq!(response.status, 431);
    let fitting = server.get("/topics/news").header("X-Filler", &filler[..55 << 10]);
    fitting.open().await.position().await;
}

#[tokio::test]
async fn a_reader_that_leaves_is_no_longer_counted() {
    let server = Server::start().await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = server.subscribe("/topics/news").await;
        stream.position().await;
        streams.push(stream);
    }
    assert_eq!(server.metric("stentor_streams_open").await, 3);
    drop(streams);
    server.until_metric("stentor_streams_open", 0).await;
}

#[tokio::test]
async fn a_stopping_server_ends_its_streams_cleanly_and_they_resume_where_they_were() {
    let mut server = Server::start().await;
    server.publish("/topics/news", "one").await;
    let mut stream = server.subscribe("/topics/news?from=earliest").await;
    assert_eq!(stream.data(1).await, ["one"]);
    let ((), rest) = tokio::join!(server.stop(), stream.rest());
    assert_eq!(rest, []);
    let text = String::from_utf8_lossy(&stream.text).into_owned();
    assert!(text.trim_end().lines().last().unwrap().starts_with("retry: "), "{text}");

    server.start_again().await;
    server.publish("/topics/news", "two").await;
    let mut stream = server.resume("/topics/news", &stream.last_event_id()).await;
    assert!(stream.position().await.len() > 1);
    assert_eq!(stream.data(1).await, ["two"]);
}
