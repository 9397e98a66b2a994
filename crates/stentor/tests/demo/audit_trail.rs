//! `stentor demo audit-trail`.

use serde_json::Value;

use crate::harness::{EventStream, Server};

const PATH: &str = "/api/v1/audits";

async fn start() -> Server {
    Server::with(&["demo", "audit-trail"]).await
}

async fn store(server: &Server, id: &str) {
    let response = server.post(PATH, format!(r#"{{"id":"{id}"}}"#)).send().await;
    assert_eq!((response.status, response.text().as_str()), (200, ""), "{response:?}");
}

/// Returns the ids of the next records.
async fn ids(reader: &mut EventStream, count: usize) -> Vec<String> {
    let records = reader.data(count).await;
    let id = |record: &String| {
        serde_json::from_str::<Value>(record).unwrap()["id"].as_str().unwrap().to_owned()
    };
    records.iter().map(id).collect()
}

fn numbers(range: std::ops::RangeInclusive<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn a_record_is_stored_and_streamed_as_in_the_original() {
    let server = start().await;
    let mut reader = server.subscribe(PATH).await;
    let post = server.post(PATH, r#"{"id":"1"}"#);
    let response = post.header("Content-Type", "application/x-www-form-urlencoded").send().await;
    assert_eq!((response.status, response.body.as_slice()), (200, &b""[..]));
    let event = reader.next().await.unwrap();
    assert_eq!(event.name, "message");
    let time = event
        .data
        .strip_prefix(r#"{"id":"1","created_at":""#)
        .and_then(|rest| rest.strip_suffix("\"}"));
    let time = time.unwrap_or_else(|| panic!("{}", event.data));
    // 2006-01-02T15:04:05.999999Z
    let (seconds, fraction) = time.strip_suffix('Z').unwrap().split_once('.').unwrap();
    let shape: String = seconds.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00");
    assert!(fraction.chars().all(|c| c.is_ascii_digit()) && !fraction.is_empty(), "{time}");
}

#[tokio::test]
async fn history_comes_before_live_records_even_after_a_crash() {
    let mut server = start().await;
    for id in numbers(1..=5) {
        store(&server, &id).await;
    }
    let mut reader = server.subscribe(PATH).await;
    assert_eq!(ids(&mut reader, 5).await, numbers(1..=5));
    for id in numbers(6..=10) {
        store(&server, &id).await;
    }
    assert_eq!(ids(&mut reader, 5).await, numbers(6..=10));
    let cursor = reader.last_event_id();

    server.kill_and_restart().await;
    store(&server, "11").await;
    let mut new_reader = server.subscribe(PATH).await;
    assert_eq!(ids(&mut new_reader, 11).await, numbers(1..=11));
    let mut resumed = server.resume(PATH, &cursor).await;
    assert_eq!(ids(&mut resumed, 1).await, ["11"]);
}

#[tokio::test]
async fn concurrent_records_are_received_once_by_every_reader() {
    let server = start().await;
    let mut early = server.subscribe(PATH).await;
    let (one, two, three) = tokio::join!(
        async {
            for id in numbers(100..=149) {
                store(&server, &id).await;
            }
        },
        async {
            for id in numbers(200..=249) {
                store(&server, &id).await;
            }
        },
        async { server.subscribe(PATH).await },
    );
    let ((), (), mut joined) = (one, two, three);
    let seen = ids(&mut early, 100).await;
    assert_eq!(ids(&mut joined, 100).await, seen);
    assert_eq!(ids(&mut server.subscribe(PATH).await, 100).await, seen);
    let mut sorted = seen;
    sorted.sort_unstable();
    assert_eq!(sorted, [numbers(100..=149), numbers(200..=249)].concat());
}

#[tokio::test]
async fn history_is_paged() {
    let server = start().await;
    for id in numbers(1..=3) {
        store(&server, &id).await;
    }
    let page =
        server.get(&format!("{PATH}?limit=2")).header("Accept", "application/json").send().await;
    assert_eq!(page.status, 200);
    let page = page.json();
    let data: Vec<&str> =
        page["events"].as_array().unwrap().iter().map(|e| e["data"].as_str().unwrap()).collect();
    assert_eq!(data.len(), 2);
    assert!(data[0].starts_with(r#"{"id":"1","created_at":""#), "{data:?}");
    let next = page["next"].as_str().unwrap();
    let page = server
        .get(&format!("{PATH}?after={next}"))
        .header("Accept", "application/json")
        .send()
        .await
        .json();
    assert!(page["events"][0]["data"].as_str().unwrap().starts_with(r#"{"id":"3","#));
    assert_eq!((&page["events"][1], &page["next"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn an_invalid_record_is_refused_and_not_stored() {
    let server = start().await;
    for body in ["", "id=1", "{}", r#"{"id":1}"#, r#"["1"]"#, r#"{"id":"1""#] {
        let response = server.post(PATH, body).send().await;
        assert!(!response.problem(400, "json").is_empty(), "{body}");
    }
    store(&server, "only").await;
    assert_eq!(ids(&mut server.subscribe(PATH).await, 1).await, ["only"]);
}

#[tokio::test]
async fn other_origins_are_allowed_by_name() {
    let server = start().await;
    let foreign = server.get(PATH).header("Origin", "null").open().await;
    assert_eq!(foreign.head.header("access-control-allow-origin"), None);
    let refused = server.post(PATH, r#"{"id":"1"}"#).header("Origin", "null").send().await;
    refused.problem(403, "foreign-origin");

    // The page from the original article, opened as a file.
    let server = Server::with(&["demo", "audit-trail", "--cors-origin", "null"]).await;
    let page = server.get(PATH).header("Origin", "null").open().await;
    assert_eq!(page.head.header("access-control-allow-origin"), Some("null"));
    let stored = server.post(PATH, r#"{"id":"1"}"#).header("Origin", "null").send().await;
    assert_eq!(stored.status, 200);
    assert_eq!(stored.header("access-control-allow-origin"), Some("null"));
    let other = server.get(PATH).header("Origin", "https://elsewhere.example").open().await;
    assert_eq!(other.head.header("access-control-allow-origin"), None);
}
