//! Readers get the published data byte for byte.

use crate::harness::{Server, awkward_texts};

/// Starts a server that holds `texts` in an ended topic `t`.
async fn published(texts: &[String]) -> Server {
    let server = Server::start().await;
    for text in texts {
        server.publish("/topics/t", text.as_str()).await;
    }
    server.publish("/topics/t?end", "").await;
    server
}

/// Returns `text` with the line breaks that an event stream has: `\n` only.
fn as_lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

#[tokio::test]
async fn history_envelope_and_ndjson_keep_every_byte() {
    let texts = awkward_texts();
    let server = published(&texts).await;
    assert_eq!(server.history_data("/topics/t").await, texts);

    let mut stream = server.subscribe("/topics/t?from=earliest&envelope=json").await;
    let mut events = stream.rest().await;
    assert_eq!(events.pop().unwrap().name, "stentor.end");
    let data: Vec<String> = events.iter().map(|event| data_of(&event.data)).collect();
    assert_eq!(data, texts);

    assert_eq!(ndjson(&server).await, texts);
}

fn data_of(object: &str) -> String {
    let object: serde_json::Value = serde_json::from_str(object).unwrap();
    object["data"].as_str().unwrap().to_owned()
}

/// Reads the topic `t` as NDJSON, and returns the data of its events.
async fn ndjson(server: &Server) -> Vec<String> {
    let request = server.get("/topics/t?from=earliest").header("Accept", "application/x-ndjson");
    let mut stream = request.open().await;
    stream.rest().await;
    let lines = String::from_utf8(std::mem::take(&mut stream.text)).unwrap();
    let events = lines.split('\n').filter(|line| line.contains("\"data\":"));
    events.map(data_of).collect()
}

#[tokio::test]
async fn a_plain_stream_keeps_everything_but_turns_cr_and_crlf_into_lf() {
    let texts = awkward_texts();
    let server = published(&texts).await;
    let mut stream = server.subscribe("/topics/t?from=earliest").await;
    let data: Vec<String> = stream.rest().await.into_iter().map(|event| event.data).collect();
    let expected: Vec<String> = texts.iter().map(|text| as_lines(text)).collect();
    assert_eq!(data[..texts.len()], expected);
}

#[tokio::test]
async fn no_data_can_forge_a_field() {
    let texts = awkward_texts();
    let server = published(&texts).await;
    let ids: Vec<_> = server.history("/topics/t").await.iter().map(|e| e["id"].clone()).collect();
    let mut stream = server.subscribe("/topics/t?from=earliest").await;
    let events = stream.rest().await;
    assert_eq!(events.len(), texts.len() + 1, "the published events and the end");
    for (event, id) in events.iter().zip(ids) {
        assert_eq!((event.name.as_str(), event.id.as_str()), ("message", id.as_str().unwrap()));
    }
    let connection = String::from_utf8(stream.text).unwrap();
    let forged = connection
        .split(['\r', '\n'])
        .find(|line| ["id: evil", "event: evil", "retry: 1", ": evil"].contains(line));
    assert_eq!(forged, None);
}

#[tokio::test]
async fn five_megabytes_of_base64_arrive_whole_in_every_form() {
    let image = vec!["iVBORw0KGgoAAAANSUhEUg+/".repeat(5_000_000 / 24)];
    let server = published(&image).await;
    assert!(server.history_data("/topics/t").await == image);
    assert!(ndjson(&server).await == image);
    let mut stream = server.subscribe("/topics/t?from=earliest").await;
    assert!(stream.rest().await[0].data == image[0]);
    let mut stream = server.subscribe("/topics/t?from=earliest&envelope=json").await;
    assert!(data_of(&stream.rest().await[0].data) == image[0]);
}

#[tokio::test]
async fn a_batch_keeps_every_byte_too() {
    let server = Server::in_memory().await;
    let texts = awkward_texts();
    let items: Vec<_> =
        texts.iter().map(|t| serde_json::json!({ "topic": "t", "data": t })).collect();
    let response = server.post("/topics", serde_json::to_vec(&items).unwrap()).send().await;
    assert_eq!(response.status, 201, "{response:?}");
    assert_eq!(server.history_data("/topics/t").await, texts);
}
