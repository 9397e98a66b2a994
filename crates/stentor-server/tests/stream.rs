//! The body of a stream, under a clock that tests move.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

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
async fn a_reader_that_passed_other_events_is_told_its_new_position_instead() {
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
async fn an_event_that_comes_in_silence_is_written_at_once() {
    let stentor = Stentor::new(Hub::memory());
    let mut body = open(&stentor, "news", Start::Now, plain()).await;
    piece(&mut body).await;
    let id = stentor.hub().send(&topic("news"), "hello").await.unwrap().first;
    assert_eq!(piece(&mut body).await, format!("id: {id}\ndata: hello\n\n"));
}

#[tokio::test]
async fn a_large_event_goes_in_pieces_that_are_whole_together() {
    for window in [Hub::WINDOW_BYTES, 0] {
        // Without a window the pieces are read from the storage again.
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
async fn a_stream_whose_half_sent_event_is_deleted_is_cut_and_the_end_is_told_on_return() {
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
        let cut = loop {
            match body.frame().await.expect("no clean end") {
                Ok(_) => {}
                Err(cut) => break cut,
            }
        };
        assert!(cut.to_string().contains("reconnect"));
        let again = open(&stentor, "news", start, plain()).await.collect().await.unwrap();
        let text = String::from_utf8(again.to_bytes().to_vec()).unwrap();
        assert!(text.ends_with("data: {\"topic\":\"news\",\"reason\":\"deleted\"}\n\n"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_its_streams_with_a_retry() {
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
