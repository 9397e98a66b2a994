//! Refused publishes: the response says why, and nothing is published.

use crate::harness::{Response, Server};

/// Maximum data of an event, in bytes.
const EVENT_MAX: usize = 8 << 20;

#[tokio::test]
async fn names_of_the_servers_own_events_are_refused() {
    let server = Server::in_memory().await;
    for kind in ["text/plain", "application/x-ndjson", "text/event-stream"] {
        let request = server.post("/topics/t?type=stentor.end", "x\n").header("Content-Type", kind);
        let detail = request.send().await.problem(400, "event-type");
        assert!(detail.contains("stentor.end") && detail.contains("reserved"), "{detail}");
    }
    assert_eq!(server.history("/topics/t").await.len(), 0);
    server.publish("/topics/t?type=stentorian", "loud").await;
}

#[tokio::test]
async fn a_type_cannot_hold_what_would_break_a_line() {
    let server = Server::in_memory().await;
    for bad in ["a%0Ab", "a%0Db", "a%00b"] {
        let response = server.post(&format!("/topics/t?type={bad}"), "x").send().await;
        response.problem(400, "event-type");
    }
}

#[tokio::test]
async fn a_type_has_at_most_4_kib_however_it_is_published() {
    const TYPE_MAX: usize = 4096;
    let server = Server::in_memory().await;
    for (bytes, is_taken) in [(TYPE_MAX, true), (TYPE_MAX + 1, false), (150 << 10, false)] {
        let name = "x".repeat(bytes);
        let stream = format!("event: {name}\ndata: x\n\n");
        let batch = format!(r#"[{{"topic":"t","data":"x","type":"{name}"}}]"#);
        let lines = format!("{}\n", batch.trim_matches(['[', ']']));
        let mut requests = vec![
            server.post("/topics/t", stream).header("Content-Type", "text/event-stream"),
            server.post("/topics", batch),
            server.post("/topics", lines).header("Content-Type", "application/x-ndjson"),
        ];
        if bytes < 8 << 10 {
            // A longer one is too long for the head of a request.
            let path = format!("/topics/t?type={name}");
            requests.push(server.post(&path, "x"));
            requests.push(server.post(&path, "x\n").header("Content-Type", "application/x-ndjson"));
        }
        for request in requests {
            let response = request.send().await;
            if is_taken {
                assert_eq!(response.status, 201, "{}", response.text());
            } else {
                let detail = response.problem(400, "event-type");
                assert!(detail.contains("4096") && detail.len() < 200, "{detail}");
            }
        }
    }
    assert_eq!(server.history("/topics/t").await.len(), 5);
}

#[tokio::test]
async fn a_line_break_of_two_characters_counts_once() {
    let server = Server::in_memory().await;
    // 10.5 MB in a stream, where each line break takes 7 bytes.
    server.publish("/topics/t", "\r\n".repeat(1_500_000)).await;
    let response = server.post("/topics/t", "\r\n".repeat(2_500_000)).send().await;
    let detail = response.problem(413, "too-large");
    assert!(detail.contains("would take 17"), "{detail}");
}

#[tokio::test]
async fn a_retry_is_a_number_of_at_most_an_hour() {
    let server = Server::in_memory().await;
    for long in ["3600001", "99999999999999999999"] {
        let response = server.post(&format!("/topics/t?retry={long}"), "x").send().await;
        let detail = response.problem(400, "retry");
        assert!(detail.contains("3600000"), "{detail}");
    }
    for bad in ["soon", "-1", "%2B5", "1.5"] {
        server.post(&format!("/topics/t?retry={bad}"), "x").send().await.problem(400, "query");
    }
}

#[tokio::test]
async fn the_reason_of_an_end_is_bounded() {
    let server = Server::in_memory().await;
    let path = format!("/topics/t?end={}", "x".repeat(1025));
    server.post(&path, "").send().await.problem(400, "reason");
    server.publish("/topics/t", "it continues").await;
}

#[tokio::test]
async fn bodies_that_need_unpacking_are_refused_with_advice() {
    let server = Server::in_memory().await;
    let cases = [
        ("Content-Type", "multipart/form-data; boundary=x", "the file itself"),
        ("Content-Type", "text/plain; charset=iso-8859-1", "charset=utf-8"),
        ("Content-Type", "application/x-ndjson; charset=utf-16", "UTF-8"),
        ("Content-Type", "nonsense", "text/plain"),
        ("Content-Encoding", "gzip", "without Content-Encoding"),
    ];
    for (name, value, advice) in cases {
        let detail = server.post("/topics/t", "x").header(name, value).send().await;
        let detail = detail.problem(415, "media-type");
        assert!(detail.contains(advice), "{value}: {detail}");
    }
    assert_eq!(server.history("/topics/t").await.len(), 0);
}

#[tokio::test]
async fn text_that_is_not_utf8_is_refused_with_the_position() {
    let server = Server::in_memory().await;
    let detail = server.post("/topics/t", *b"caf\xe9").send().await.problem(400, "not-utf8");
    assert!(
        detail.contains("at byte 3") && detail.contains("application/octet-stream"),
        "{detail}"
    );
    assert_eq!(server.history("/topics/t").await.len(), 0);
}

#[tokio::test]
async fn an_event_of_8_mib_is_taken_and_one_byte_more_is_not() {
    let server = Server::in_memory().await;
    server.publish("/topics/t", "x".repeat(EVENT_MAX)).await;
    let response = server.post("/topics/t", "x".repeat(EVENT_MAX + 1)).send().await;
    let detail = response.problem(413, "too-large");
    assert!(detail.contains("8 MiB (8388608 bytes)"), "{detail}");
    let mut upload = server.upload("/topics/t", "text/plain").await;
    upload.send("x".repeat(EVENT_MAX)).await;
    upload.send("x").await;
    let response = upload.response().await;
    response.problem(413, "too-large");
    assert_eq!(response.json()["limit"], EVENT_MAX);
    assert_eq!(server.history("/topics/t").await.len(), 1);
}

#[tokio::test]
async fn the_limit_for_a_binary_body_counts_after_base64() {
    let server = Server::in_memory().await;
    let image = vec![0; 7 << 20];
    let response = server.post("/topics/t", image).header("Content-Type", "image/png").send().await;
    let detail = response.problem(413, "too-large");
    assert!(detail.contains("base64"), "{detail}");
}

#[tokio::test]
async fn an_event_whose_frame_would_be_over_16_mib_is_refused() {
    let server = Server::in_memory().await;
    for body in ["\n", "\r", "\u{1}"] {
        let response = server.post("/topics/t", body.repeat(3 << 20)).send().await;
        let detail = response.problem(413, "too-large");
        assert!(detail.contains("on the wire"), "{body:?}: {detail}");
    }
    // Fewer line breaks fit into a frame.
    server.publish("/topics/t", "\n".repeat(2 << 20)).await;
}

async fn topic_problem(server: &Server, path: &str) -> (Response, String) {
    let response = server.post(path, "x").send().await;
    assert_eq!(response.status, 400, "{path}: {response:?}");
    let detail = response.problem(400, "topic");
    (response, detail)
}

#[tokio::test]
async fn segments_that_proxies_rewrite_are_refused() {
    let server = Server::in_memory().await;
    for raw in [
        "", "/", "a//b", "a/", "/a", ".", "..", "a/./b", "a/..", "a/../b", "%2e", "%2E%2e/a",
        "a/.%2e",
    ] {
        let (_, detail) = topic_problem(&server, &format!("/topics/{raw}")).await;
        assert!(detail.contains("%2F"), "{detail}");
    }
}

#[tokio::test]
async fn an_encoded_slash_belongs_to_the_name() {
    let server = Server::in_memory().await;
    let response = server.post("/topics/https:%2F%2Fx%2Fy", "1").send().await;
    assert_eq!(response.json()["topic"], "https://x/y");
    let response = server.post("/topics/a%2Fb", "1").send().await;
    assert_eq!(response.json()["topic"], "a/b");
    server.publish("/topics/a/b", "2").await;
    assert_eq!(server.history_data("/topics/a%2fb").await, ["1", "2"]);
}

#[tokio::test]
async fn a_path_is_decoded_once_and_a_plus_stays_one() {
    let server = Server::in_memory().await;
    for (raw, name) in
        [("100%2525", "100%25"), ("a+b", "a+b"), ("Gr%C3%BC%C3%9Fe", "Grüße"), ("a*b", "a*b")]
    {
        let response = server.post(&format!("/topics/{raw}"), "x").send().await;
        assert_eq!(response.json()["topic"], name);
    }
}

#[tokio::test]
async fn a_filter_in_the_path_is_answered_with_the_path_to_use() {
    let server = Server::in_memory().await;
    for (raw, line) in [
        ("news/*", "/events?topic=news/*"),
        ("**", "/events?topic=**"),
        ("a%20b/%2A", "/events?topic=a%20b/*"),
    ] {
        let (response, detail) = topic_problem(&server, &format!("/topics/{raw}")).await;
        assert!(detail.contains(line), "{detail}");
        assert_eq!(response.json()["use"], line);
    }
}

#[tokio::test]
async fn names_have_no_control_characters_and_at_most_512_bytes_of_utf8() {
    let server = Server::in_memory().await;
    for control in ["%00", "%0A", "%1F", "%7F", "%C2%85"] {
        let (_, detail) = topic_problem(&server, &format!("/topics/a{control}")).await;
        assert!(detail.contains("control character"), "{detail}");
    }
    topic_problem(&server, "/topics/a%ff").await;
    server.publish(&format!("/topics/{}", "x".repeat(512)), "fits").await;
    let (_, detail) = topic_problem(&server, &format!("/topics/{}", "x".repeat(513))).await;
    assert!(detail.contains("512"), "{detail}");
    // Bytes are counted, not characters.
    topic_problem(&server, &format!("/topics/{}", "%E2%82%AC".repeat(171))).await;
}

#[tokio::test]
async fn names_that_begin_with_a_dollar_sign_are_reserved() {
    let server = Server::in_memory().await;
    for (path, name) in [("/topics/$sys", "\"$sys\""), ("/topics/%24sys/x", "\"$sys/x\"")] {
        let (_, detail) = topic_problem(&server, path).await;
        assert!(detail.contains("reserved") && detail.ends_with(&format!(" {name}")), "{detail}");
    }
    server.publish("/topics/price/$", "not in first place").await;
}

#[tokio::test]
async fn a_reserved_topic_cannot_be_deleted() {
    let server = Server::in_memory().await;
    for path in ["/topics/$sys", "/topics/%24sys/x"] {
        let detail = server.delete(path).send().await.problem(400, "topic");
        assert!(detail.contains("reserved"), "{detail}");
    }
    assert_eq!(server.delete("/topics/price/$").send().await.status, 204);
}

#[tokio::test]
async fn a_misspelt_query_name_is_answered_with_the_nearest_one() {
    let server = Server::in_memory().await;
    for (bad, near) in [("tpye=x", "`type`"), ("rerty=1", "`retry`"), ("End=x", "`end`")] {
        let detail = server.post(&format!("/topics/t?{bad}"), "x").send().await;
        let detail = detail.problem(400, "query");
        assert!(detail.contains(near), "{detail}");
    }
    let detail = server.post("/topics/t?type=a&type=b", "x").send().await.problem(400, "query");
    assert!(detail.contains("twice"), "{detail}");
    server.post("/topics/t?type=%ff", "x").send().await.problem(400, "query");
    assert_eq!(server.history("/topics/t").await.len(), 0);
}

#[tokio::test]
async fn a_path_without_query_parameters_refuses_them() {
    let server = Server::in_memory().await;
    for path in ["/health/live", "/health/ready", "/metrics"] {
        server.get(&format!("{path}?verbose=1")).send().await.problem(400, "query");
        assert_eq!(server.get(&format!("{path}?_=1")).send().await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn query_names_that_begin_with_an_underscore_are_ignored() {
    let server = Server::in_memory().await;
    server.publish("/topics/t?_=1699&_cache=%ff&type=x", "y").await;
    assert_eq!(server.history("/topics/t").await[0]["type"], "x");
}

#[tokio::test]
async fn a_wrong_method_is_answered_with_the_right_ones() {
    let server = Server::in_memory().await;
    let cases = [
        ("PATCH", "/topics/t", "GET, HEAD, POST, PUT, DELETE"),
        ("PUT", "/topics", "GET, HEAD, POST"),
        ("POST", "/events", "GET, HEAD"),
        ("POST", "/metrics", "GET, HEAD"),
        ("DELETE", "/health/live", "GET, HEAD"),
    ];
    for (method, path, allow) in cases {
        let response = server.request(method, path).send().await;
        response.problem(405, "method");
        assert_eq!(response.header("allow"), Some(allow), "{method} {path}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_404_and_names_the_path_of_topics() {
    let server = Server::in_memory().await;
    for (method, path) in
        [("GET", "/topic/x"), ("POST", "/publish"), ("DELETE", "/x"), ("GET", "/health")]
    {
        let detail = server.request(method, path).send().await.problem(404, "path");
        assert!(detail.contains("/topics/NAME"), "{detail}");
    }
}
