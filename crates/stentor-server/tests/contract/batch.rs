//! `POST /topics`: a batch of events for several topics, published all or none.

use serde_json::json;

use crate::harness::scenarios::batches;
use crate::harness::{Response, Server};

async fn batch(server: &Server, items: serde_json::Value) -> Response {
    let request = server.post("/topics", items.to_string());
    request.header("Content-Type", "application/json").send().await
}

/// Asserts that the log is empty.
async fn assert_nothing_published(server: &Server) {
    let topics = server.get("/topics").send().await.json();
    assert_eq!(topics["topics"], json!([]));
}

#[tokio::test]
async fn a_batch_is_published_to_several_topics_in_its_order() {
    let server = Server::start().await;
    let mut stream = server.subscribe("/events?topic=a&topic=b&envelope=json").await;
    let items = json!([
        { "topic": "a", "data": "1" },
        { "topic": "b", "data": "2", "type": "two", "retry": 2000 },
        { "topic": "a", "data": "3\n" },
    ]);
    let response = batch(&server, items).await;
    assert_eq!(response.status, 201);
    let mut seen = Vec::new();
    for data in stream.data(3).await {
        seen.push(serde_json::from_str::<serde_json::Value>(&data).unwrap());
    }
    let pairs: Vec<_> = seen.iter().map(|e| (e["topic"].clone(), e["data"].clone())).collect();
    assert_eq!(
        pairs,
        [(json!("a"), json!("1")), (json!("b"), json!("2")), (json!("a"), json!("3\n"))]
    );
    assert_eq!((&seen[1]["type"], &seen[1]["retry"]), (&json!("two"), &json!(2000)));
    let ends = json!({ "count": 3, "first_id": seen[0]["id"], "last_id": seen[2]["id"] });
    assert_eq!(response.json(), ends);
}

#[tokio::test]
async fn a_batch_of_ndjson_has_an_event_in_each_line() {
    let server = Server::in_memory().await;
    let lines = "{\"topic\":\"a\",\"data\":\"1\"}\r\n\n{\"topic\":\"b\",\"data\":\"2\"}";
    let request = server.post("/topics", lines).header("Content-Type", "application/x-ndjson");
    assert_eq!(request.send().await.json()["count"], 2);
    assert_eq!(server.history_data("/topics/a").await, ["1"]);
    assert_eq!(server.history_data("/topics/b").await, ["2"]);
}

#[tokio::test]
async fn a_batch_may_begin_with_a_byte_order_mark() {
    let server = Server::in_memory().await;
    for kind in ["application/x-ndjson", "application/json"] {
        let item = r#"{"topic":"a","data":"1"}"#;
        let body = if kind.ends_with("ndjson") { item.to_owned() } else { format!("[{item}]") };
        let request =
            server.post("/topics", format!("\u{feff}{body}")).header("Content-Type", kind);
        assert_eq!(request.send().await.status, 201, "{kind}");
    }
    assert_eq!(server.history_data("/topics/a").await, ["1", "1"]);
}

#[tokio::test]
async fn a_batch_of_more_than_10_000_events_is_refused_with_the_limit() {
    let server = Server::in_memory().await;
    let events = |count| vec![json!({ "topic": "a", "data": "" }); count];
    let response = batch(&server, json!(events(10_001))).await;
    let detail = response.problem(400, "too-many");
    assert!(detail.contains("more than 10000 events") && detail.contains("split"), "{detail}");
    assert_eq!(response.json()["limit"], 10_000);
    assert_nothing_published(&server).await;
    assert_eq!(batch(&server, json!(events(10_000))).await.status, 201);
}

#[tokio::test]
async fn a_batch_with_an_ended_topic_publishes_nothing_anywhere() {
    for server in [Server::start().await, Server::in_memory().await] {
        server.publish("/topics/over?end", "").await;
        let items = ["a", "over", "b"].map(|topic| json!({ "topic": topic, "data": "x" }));
        let response = batch(&server, json!(items)).await;
        response.problem(409, "topic-ended");
        assert_eq!(response.json()["topic"], "over");
        for topic in ["a", "b"] {
            assert_eq!(server.history(&format!("/topics/{topic}")).await.len(), 0);
        }
    }
}

#[tokio::test]
async fn a_bad_item_is_named_by_its_index() {
    let server = Server::in_memory().await;
    let cases = [
        (json!({ "topic": "a/*", "data": "x" }), 400, "topic"),
        (json!({ "topic": "$a", "data": "x" }), 400, "topic"),
        (json!({ "topic": "", "data": "x" }), 400, "topic"),
        (json!({ "topic": "a", "data": "x", "type": "stentor.gap" }), 400, "event-type"),
        (json!({ "topic": "a", "data": "x", "retry": 3_600_001 }), 400, "retry"),
        (json!({ "topic": "a", "data": "\n".repeat(3 << 20) }), 413, "too-large"),
        (json!({ "topic": "a", "data": "x".repeat((8 << 20) + 1) }), 413, "too-large"),
        (json!({ "topic": "a", "data": { "no": "text" } }), 400, "batch"),
        (json!({ "topic": "a" }), 400, "batch"),
        (json!({ "topic": "a", "data": "x", "tpye": "y" }), 400, "batch"),
    ];
    for (bad, status, code) in cases {
        let good = json!({ "topic": "good", "data": "x" });
        let response = batch(&server, json!([good, good, bad, good])).await;
        response.problem(status, code);
        assert_eq!(response.json()["index"], 2, "{}", response.text());
    }
    assert_nothing_published(&server).await;
}

#[tokio::test]
async fn a_bad_line_of_a_batch_is_named_by_its_number() {
    let server = Server::in_memory().await;
    let lines = "{\"topic\":\"a\",\"data\":\"1\"}\n\n{\"topic\":\"a\",\"data\":";
    let request = server.post("/topics", lines).header("Content-Type", "application/x-ndjson");
    let response = request.send().await;
    response.problem(400, "batch");
    assert_eq!(response.json()["line"], 3);
    assert_nothing_published(&server).await;
}

#[tokio::test]
async fn a_batch_that_is_empty_or_not_a_list_is_refused() {
    let server = Server::in_memory().await;
    batch(&server, json!([])).await.problem(400, "nothing");
    for bad in [json!({ "topic": "a", "data": "x" }), json!("x"), json!([1])] {
        let detail = batch(&server, bad).await.problem(400, "batch");
        assert!(detail.contains("JSON array"), "{detail}");
    }
    for (bad, words) in [
        (r#"{"topic":"a","data":"x"}"#, "the body is an object, not an array"),
        (
            r#"[{"topic":"a","data":"x"},{"topic":"a","data":{"n":1}}]"#,
            "event 1 has an object as `data`",
        ),
        (r#"[{"topic":"a"}]"#, "event 0 has no `data`"),
        (r#"[{"topic":"a","data":"x","key":"k"}]"#, "event 0 has the unknown field `key`"),
        (r#"[{"topic":"a","data":"x","retry":-1}]"#, "event 0 has a `retry`"),
        (r#"[{"topic":"a","data":"x"},]"#, "not valid JSON at line 1, column 27"),
        (r#"[{"topic":"a","topic":"a","data":"x"}]"#, "the same field twice"),
        ("", "not valid JSON"),
    ] {
        let detail = server.post("/topics", bad).send().await.problem(400, "batch");
        assert!(detail.contains(words), "{bad}: {detail}");
        for leak in ["invalid type", "expected", "map", "EOF"] {
            assert!(!detail.contains(leak), "{bad}: {detail}");
        }
    }
    server.post("/topics", *b"[\"\xff\"]").send().await.problem(400, "not-utf8");
    server.post("/topics?type=x", "[]").send().await.problem(400, "query");
    let packed = server.post("/topics", "[]").header("Content-Encoding", "br").send().await;
    packed.problem(415, "media-type");
    assert_nothing_published(&server).await;
}

#[tokio::test]
async fn the_key_of_a_batch_covers_all_of_it() {
    batches::the_key_of_a_batch_covers_all_of_it(Server::start().await).await;
}

#[tokio::test]
async fn a_batch_has_no_topic_that_no_path_can_name() {
    let server = Server::in_memory().await;
    for name in [".", ".."] {
        let response = batch(&server, json!([{ "topic": name, "data": "x" }])).await;
        assert_eq!((response.status, &response.json()["code"]), (400, &json!("topic")), "{name}");
        assert_eq!(response.json()["index"], 0);
    }
    assert_nothing_published(&server).await;
}

#[tokio::test]
async fn a_batch_is_read_no_further_than_its_first_wrong_event() {
    const MIB: usize = 1 << 20;
    let server = Server::in_memory().await;
    // Not even valid JSON after the first event.
    let body = format!("[{{\"\":0}},{}", "?".repeat(16 * MIB - 10));
    let detail = server.post("/topics", body).send().await.problem(400, "batch");
    assert!(detail.contains("event 0 has no `topic`"), "{detail}");
    // Nor after the 10,000th one.
    let event = r#"{"topic":"a","data":""}"#;
    let body = format!("[{}{}", format!("{event},").repeat(10_001), "?".repeat(MIB));
    server.post("/topics", body).send().await.problem(400, "too-many");
    assert_nothing_published(&server).await;
}
