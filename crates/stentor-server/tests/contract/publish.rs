//! `POST /topics/{topic}` with a single event.

use serde_json::json;

use crate::harness::Server;

#[tokio::test]
async fn a_published_event_arrives_framed_as_specified() {
    let server = Server::start().await;
    let id = server.publish("/topics/news", "hello").await;
    let mut stream = server.subscribe("/topics/news?from=earliest").await;
    let text = stream.until("data: hello\n\n").await;
    assert!(text.ends_with(&format!("\n\nid: {id}\ndata: hello\n\n")), "{text}");
}

#[tokio::test]
async fn the_response_to_a_publish_is_the_topic_and_the_id() {
    let server = Server::in_memory().await;
    let response = server.post("/topics/a/b%20c", "x").send().await;
    assert_eq!(response.status, 201);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let id = server.history("/topics/a/b%20c").await[0]["id"].clone();
    assert_eq!(response.json(), json!({ "topic": "a/b c", "id": id }));
}

#[tokio::test]
async fn text_of_every_kind_is_one_event_with_the_body_as_it_is() {
    let server = Server::in_memory().await;
    let kinds = [
        "text/plain",
        "text/html; charset=utf-8",
        "TEXT/CSV",
        "application/json",
        "application/geo+json",
        "application/xml",
        "application/atom+xml",
        "application/yaml",
        "application/x-www-form-urlencoded",
        "text/plain; charset=\"UTF-8\"",
        "",
    ];
    let body = "{ \"a\" : 1 }\n&b=%20+c\n";
    for kind in kinds {
        let response = server.post("/topics/t", body).header("Content-Type", kind).send().await;
        assert_eq!(response.status, 201, "{kind}: {response:?}");
    }
    server.publish("/topics/t", body).await;
    assert_eq!(server.history_data("/topics/t").await, vec![body; kinds.len() + 1]);
}

#[tokio::test]
async fn an_empty_body_is_an_event_with_empty_data() {
    let server = Server::in_memory().await;
    server.publish("/topics/t", "").await;
    let mut stream = server.subscribe("/topics/t?from=earliest").await;
    assert_eq!(stream.next().await.unwrap().data, "");
}

#[tokio::test]
async fn a_body_that_is_not_text_becomes_a_data_url() {
    let server = Server::in_memory().await;
    let kinds = ["image/png", "image/svg+xml", "application/octet-stream", "Application/PDF; x=y"];
    for kind in kinds {
        let bytes = [0, 0xff, 0x80, b'\n'];
        let response = server.post("/topics/t", bytes).header("Content-Type", kind).send().await;
        assert_eq!(response.status, 201, "{kind}: {response:?}");
    }
    let expected = ["image/png", "image/svg+xml", "application/octet-stream", "application/pdf"];
    let expected = expected.map(|kind| format!("data:{kind};base64,AP+ACg=="));
    assert_eq!(server.history_data("/topics/t").await, expected);
}

#[tokio::test]
async fn put_is_taken_as_post() {
    let server = Server::in_memory().await;
    let response = server.request("PUT", "/topics/t?type=x").body("by curl -T").send().await;
    assert_eq!(response.status, 201);
    let events = server.history("/topics/t").await;
    assert_eq!((&events[0]["data"], &events[0]["type"]), (&json!("by curl -T"), &json!("x")));
}

#[tokio::test]
async fn a_body_of_unknown_length_is_one_event() {
    let server = Server::in_memory().await;
    let mut upload = server.upload("/topics/t", "text/plain").await;
    upload.send("one\n").await;
    upload.send("two").await;
    assert_eq!(upload.finish().await.status, 201);
    assert_eq!(server.history_data("/topics/t").await, ["one\ntwo"]);
}

#[tokio::test]
async fn the_type_is_the_name_of_the_event() {
    let server = Server::in_memory().await;
    server.publish("/topics/t?type=price%20%E2%82%AC", "1").await;
    server.publish("/topics/t?type=", "2").await;
    server.publish("/topics/t?type=message", "3").await;
    let mut stream = server.subscribe("/topics/t?from=earliest").await;
    let text = stream.until("data: 3\n\n").await;
    assert!(text.contains("\nevent: price €\ndata: 1\n\n"), "{text}");
    assert!(!text.contains("event: \n") && !text.contains("event: message"), "{text}");
    let types: Vec<_> =
        server.history("/topics/t").await.iter().map(|e| e["type"].clone()).collect();
    assert_eq!(types, ["price €", "message", "message"]);
}

#[tokio::test]
async fn an_event_has_the_reconnection_time_of_its_publish() {
    let server = Server::in_memory().await;
    server.publish("/topics/t?retry=3600000", "slow").await;
    let mut stream = server.subscribe("/topics/t?from=earliest").await;
    let text = stream.until("data: slow\n\n").await;
    assert!(text.contains("\nretry: 3600000\ndata: slow\n\n"), "{text}");
    assert_eq!(server.history("/topics/t").await[0]["retry"], 3_600_000);
}

#[tokio::test]
async fn a_last_event_and_the_end_are_two_records_of_one_publish() {
    let server = Server::start().await;
    let mut stream = server.subscribe("/topics/job").await;
    let response = server.post("/topics/job?end=all%20done", "bye").send().await;
    assert_eq!(response.status, 201);
    let rest = stream.rest().await;
    assert_eq!(rest.len(), 2, "{rest:?}");
    assert_eq!(response.json()["id"], *rest[0].id, "the id is that of the event");
    assert_eq!((rest[0].name.as_str(), rest[0].data.as_str()), ("message", "bye"));
    assert_eq!(rest[1].name, "stentor.end");
    assert_ne!(rest[0].id, rest[1].id);
    let end: serde_json::Value = serde_json::from_str(&rest[1].data).unwrap();
    assert_eq!(end, json!({ "topic": "job", "reason": "all done" }));
}

#[tokio::test]
async fn an_empty_body_with_end_only_ends_the_topic() {
    let server = Server::in_memory().await;
    server.publish("/topics/job", "work").await;
    let response = server.post("/topics/job?end", "").send().await;
    assert_eq!(response.status, 201);
    let page = server.get("/topics/job").header("Accept", "application/json").send().await.json();
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&page["ended"]["id"], &page["ended"]["reason"]),
        (&response.json()["id"], &json!(""))
    );
}

#[tokio::test]
async fn an_ended_topic_takes_no_events_and_says_what_to_do() {
    let server = Server::in_memory().await;
    let end = server.publish("/topics/job?end", "").await;
    for path in ["/topics/job", "/topics/job?end=again"] {
        let response = server.post(path, "late").send().await;
        let detail = response.problem(409, "topic-ended");
        assert!(detail.starts_with("the topic \"job\" has ended; delete it"), "{detail}");
        assert_eq!(response.json()["end_id"], *end);
    }
    assert_eq!(server.history("/topics/job").await.len(), 0);
}

#[tokio::test]
async fn ending_an_ended_topic_answers_200_with_the_id_of_its_end() {
    let server = Server::in_memory().await;
    let mut stream = server.subscribe("/topics/job").await;
    server.publish("/topics/job?end=first", "last words").await;
    let end = stream.rest().await.pop().unwrap();
    for kind in ["text/plain", "image/png", "application/x-ndjson", "text/event-stream"] {
        let again = server.post("/topics/job?end=second", "").header("Content-Type", kind);
        let response = again.send().await;
        assert_eq!(response.status, 200, "{kind}: {response:?}");
        assert_eq!(response.json(), json!({ "topic": "job", "id": end.id }), "{kind}");
    }
    let page = server.get("/topics/job").header("Accept", "application/json").send().await.json();
    assert_eq!(page["ended"]["reason"], "first");
}
