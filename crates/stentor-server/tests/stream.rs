//! Streams as response bodies, with a clock that the tests move.
#![allow(clippy::unwrap_used, reason = "a test that cannot continue panics")]

use std::time::Duration;

use http::Version;
use http_body_util::BodyExt;
use stentor_hub::{Filters, Form, Hub, MemoryStorage, Publish, Start, TopicFilter, TopicName};
use stentor_server::{Body, Stentor, StreamOptions};
use tokio::time::Instant;

fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

fn plain() -> StreamOptions {
    StreamOptions::new(Version::HTTP_11)
}

async fn open(stentor: &Stentor, filter: &str, start: Start, options: StreamOptions) -> Body {
    let filters = Filters::new([filter.parse::<TopicFilter>().unwrap()]).unwrap();
    stentor.stream(filters, start, options).await.unwrap().into_body()
}

async fn piece(body: &mut Body) -> String {
    let bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_gets_a_comment_after_15_seconds_give_or_take_a_fifth() {
    let stentor = Stentor::new(Hub::memory());
    let mut body = open(&stentor, "news", Start::Now, plain()).await;
    piece(&mut body).await;
    let before = Instant::now();
    assert_eq!(piece(&mut body).await, ": stentor\n\n");
    let silence = before.elapsed();
    assert!((Duration::from_secs(12)..=Duration::from_secs(19)).contains(&silence), "{silence:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_other_events_have_passed_gets_its_new_position_instead() {
    let stentor = Stentor::new(Hub::memory());
    let mut body = open(&stentor, "news", Start::Now, plain()).await;
    piece(&mut body).await;
    stentor.hub().send(&topic("other"), "x").await.unwrap();
    let position = stentor.hub().tail();
    assert_eq!(
        piece(&mut body).await,
        format!("id: {position}\nevent: stentor.cursor\ndata: \n\n")
    );
    assert_eq!(piece(&mut body).await, ": stentor\n\n", "and only once");
}

#[tokio::test(start_paused = true)]
async fn a_silent_ndjson_stream_gets_an_empty_line() {
    let stentor = Stentor::new(Hub::memory());
    let options = StreamOptions { form: Form::Ndjson, ..plain() };
    let mut body = open(&stentor, "news", Start::Now, options).await;
    piece(&mut body).await;
    assert_eq!(piece(&mut body).await, "\n");
}

#[tokio::test]
async fn an_event_after_silence_is_written_at_once() {
    let stentor = Stentor::new(Hub::memory());
    let mut body = open(&stentor, "news", Start::Now, plain()).await;
    piece(&mut body).await;
    let id = stentor.hub().send(&topic("news"), "hello").await.unwrap().first;
    assert_eq!(piece(&mut body).await, format!("id: {id}\ndata: hello\n\n"));
}

#[tokio::test]
async fn a_large_event_is_written_in_pieces() {
    for window in [Hub::WINDOW_BYTES, 0] {
        // With an empty window each piece reads the event from the storage.
        let stentor = Stentor::new(Hub::with_window(MemoryStorage::new(), window));
        let data = "0123456789".repeat(100_000);
        stentor.hub().send(&topic("news"), &data).await.unwrap();
        stentor.hub().send(&topic("news"), "small").await.unwrap();
        stentor.hub().publish(Publish::end(topic("news"), "")).await.unwrap();
        let mut body = open(&stentor, "news", Start::Earliest, plain()).await;
        let mut text = String::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() <= 64 << 10, "{}", piece.len());
            text += std::str::from_utf8(&piece).unwrap();
        }
        assert!(text.contains(&format!("\ndata: {data}\n\n")));
        assert!(text.contains("\ndata: small\n\n"));
        assert!(
            text.ends_with("event: stentor.end\ndata: {\"topic\":\"news\",\"reason\":\"\"}\n\n")
        );
    }
}

#[tokio::test]
async fn a_stream_whose_partly_sent_event_is_deleted_is_interrupted_and_ends_after_the_reconnect() {
    for window in [Hub::WINDOW_BYTES, 0] {
        let stentor = Stentor::new(Hub::with_window(MemoryStorage::new(), window));
        let news = topic("news");
        let before = stentor.hub().send(&news, "before").await.unwrap().first;
        stentor.hub().send(&news, "x".repeat(300_000)).await.unwrap();
        let start = Start::Cursor(before.to_string());
        let mut body = open(&stentor, "news", start.clone(), plain()).await;
        piece(&mut body).await;
        piece(&mut body).await;
        stentor.hub().delete(&news).await.unwrap();
        let interrupted = loop {
            match body.frame().await.expect("no clean end") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(interrupted.to_string().contains("reconnect"));
        let again = open(&stentor, "news", start, plain()).await.collect().await.unwrap();
        let text = String::from_utf8(again.to_bytes().to_vec()).unwrap();
        assert!(text.ends_with("data: {\"topic\":\"news\",\"reason\":\"deleted\"}\n\n"), "{text}");
    }
}

#[tokio::test]
async fn a_draining_server_ends_its_streams_with_a_retry() {
    let stentor = Stentor::new(Hub::memory());
    let mut body = open(&stentor, "news", Start::Now, plain()).await;
    piece(&mut body).await;
    stentor.drain().cancel();
    let retry: u64 = piece(&mut body).await["retry: ".len()..].trim().parse().unwrap();
    assert!((1_500..=2_500).contains(&retry));
    assert!(body.frame().await.is_none());
    let turned_away = open(&stentor, "news", Start::Now, plain()).await.collect().await.unwrap();
    let text = String::from_utf8(turned_away.to_bytes().to_vec()).unwrap();
    let retry: u64 = text["retry: ".len()..].trim().parse().unwrap();
    assert!((5_000..=15_000).contains(&retry));
}
