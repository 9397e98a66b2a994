//! Steps and assertions that several tests share.

use serde_json::{Value, json};

use crate::{EventStream, Received, Request, Response, TestClient};

/// Asserts that an event is the end of a topic, and returns its id.
#[track_caller]
pub fn assert_end(event: &Received, topic: &str, reason: &str) -> String {
    assert_eq!(event.name, "stentor.end", "{event:?}");
    let data: Value = serde_json::from_str(&event.data).unwrap();
    assert_eq!(data, json!({"topic": topic, "reason": reason}));
    event.id.clone()
}

/// Asserts that the next event is the end of a deleted topic, and returns its id.
pub async fn assert_deleted(stream: &mut EventStream, topic: &str) -> String {
    assert_end(&stream.next().await.unwrap(), topic, "deleted")
}

/// Asserts that the stream begins with this gap, and returns the position after it.
pub async fn assert_gap(stream: &mut EventStream, expected: Value) -> String {
    let (position, gap) = stream.gap().await;
    assert_eq!(gap, expected);
    position
}

/// Asserts that a reader that resumes at `position`, after a gap, gets `data` and not the gap again.
pub async fn assert_no_second_gap(client: &TestClient, path: &str, position: &str, data: &[&str]) {
    let mut stream = client.resume(path, position).await;
    assert_eq!(stream.position().await, position);
    assert_eq!(stream.data(data.len()).await, data);
}

/// Asserts that an upload was refused because it differs after `agreeing` events from the upload with that key.
/// The response names the newest event with that key.
pub async fn assert_differs_after(client: &TestClient, response: &Response, agreeing: usize) {
    response.problem(422, "key-reused");
    let history = client.history("/topics/t?limit=1000").await;
    let newest = history.last().unwrap()["id"].clone();
    let last = if agreeing > 0 { newest } else { Value::Null };
    let response = response.json();
    assert_eq!((&response["published"], &response["last_id"]), (&json!(agreeing), &last));
}

/// Deletes a topic.
pub async fn delete_topic(client: &TestClient, topic: &str) {
    let response = client.delete(&format!("/topics/{topic}")).send().await;
    assert_eq!((response.status, response.body.as_slice()), (204, &b""[..]), "{response:?}");
}

/// Returns the status of the response to a reader that resumes after `cursor`.
pub async fn resume_status(client: &TestClient, path: &str, cursor: &str) -> u16 {
    client.get(path).header("Last-Event-ID", cursor).send().await.status
}

/// Builds an upload to the topic `t` with the idempotency key `k`.
pub fn keyed_upload(client: &TestClient, content_type: &str) -> Request {
    let request = client.request("POST", "/topics/t").header("Content-Type", content_type);
    request.header("Idempotency-Key", "k")
}

/// Uploads lines of text to the topic `t` with the idempotency key `k`.
pub async fn upload_lines(client: &TestClient, body: impl Into<Vec<u8>>) -> Response {
    keyed_upload(client, "application/x-ndjson").body(body).send().await
}

/// Uploads an event stream to the topic `t`. The ids of its events are idempotency keys.
pub async fn upload_events_with_ids(client: &TestClient, body: impl Into<Vec<u8>>) -> Response {
    let request = client.post("/topics/t?dedupe=id", body);
    request.header("Content-Type", "text/event-stream").send().await
}

/// Waits until the server has no streams and no connections besides the one of this request.
pub async fn until_no_client_is_left(client: &TestClient) {
    client.until_metric("stentor_connections_open", 1).await;
    client.until_metric("stentor_streams_open", 0).await;
}

/// Returns the data of events.
pub fn data_of(events: &[Received]) -> Vec<&str> {
    events.iter().map(|event| event.data.as_str()).collect()
}
