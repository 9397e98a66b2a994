//! Streams as response bodies, with a clock that the tests move.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot continue panics")]

use std::time::Duration;

use http::Version;
use http_body_util::BodyExt;
use stentor_hub::{Filters, Form, Hub, MemoryStorage, Publish, Start, TopicFilter, TopicName};
use stentor_server::{Body, Session, Stentor, StreamOptions};
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
    assert_eq!(piece(&mut body).await, ": stentor\n");
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
    assert_eq!(piece(&mut body).await, ": stentor\n", "and only once");
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

/// The value of a counter or gauge, by its name in `/metrics`.
fn metric(stentor: &Stentor, name: &str) -> i64 {
    let text = stentor.metrics().to_text(stentor.hub());
    let line = text.lines().find(|line| line.starts_with(&format!("stentor_{name} ")));
    line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

/// Lets the shard, which is another task, do all it can do now.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_read_holds_at_most_64_kib() {
    let stentor = Stentor::new(Hub::memory());
    let mut bodies = Vec::new();
    for _ in 0..10 {
        let mut body = open(&stentor, "news", Start::Now, plain()).await;
        piece(&mut body).await;
        bodies.push(body);
    }
    let idle = metric(&stentor, "reader_bytes");
    for size in [100_000, 5_000_000] {
        stentor.hub().send(&topic("news"), "x".repeat(size)).await.unwrap();
        settle().await;
    }
    let held = metric(&stentor, "reader_bytes") - idle;
    assert!((1..10 * (70 << 10)).contains(&held), "{held} bytes are held");
    for body in &mut bodies {
        let mut text = String::new();
        while text.len() < 5_100_000 {
            text += &piece(body).await;
        }
    }
    settle().await;
    let left = metric(&stentor, "reader_bytes") - idle;
    assert!(left < 100_000, "{left} bytes are held for readers that have everything");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_not_read_for_30_seconds_is_interrupted_and_freed() {
    let stentor = Stentor::new(Hub::memory());
    let mut stuck = open(&stentor, "news", Start::Now, plain()).await;
    let mut other = open(&stentor, "news", Start::Now, plain()).await;
    piece(&mut stuck).await;
    piece(&mut other).await;
    stentor.hub().send(&topic("news"), "x".repeat(200_000)).await.unwrap();
    let reading = tokio::spawn(async move {
        while !piece(&mut other).await.ends_with("\n\n") {}
        other
    });
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(metric(&stentor, "streams_open"), 2);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(metric(&stentor, "streams_open"), 1);
    let held = metric(&stentor, "reader_bytes");
    assert!(held < 300_000, "{held} bytes are held");
    assert!(stuck.frame().await.unwrap().is_err(), "no clean end");
    assert!(stuck.frame().await.is_none());
    drop(reading.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_closed_at_once_when_its_body_is_dropped() {
    let stentor = Stentor::new(Hub::memory());
    let mut body = open(&stentor, "news", Start::Now, plain()).await;
    assert_eq!(metric(&stentor, "streams_open"), 1);
    piece(&mut body).await;
    settle().await;
    let before = Instant::now();
    drop(body);
    settle().await;
    assert_eq!(metric(&stentor, "streams_open"), 0);
    assert_eq!(before.elapsed(), Duration::ZERO, "without a timer");
    assert_eq!(metric(&stentor, "connections_open"), 0, "a body is not a connection");
    // One that no shard has seen yet.
    drop(open(&stentor, "news", Start::Now, plain()).await);
    assert_eq!(metric(&stentor, "streams_open"), 0);
}

#[tokio::test]
async fn a_body_counts_what_it_delivers() {
    let stentor = Stentor::new(Hub::memory());
    let mut body = open(&stentor, "news", Start::Now, plain()).await;
    let mut bytes = piece(&mut body).await.len();
    for number in 0..3 {
        stentor.hub().send(&topic("news"), number.to_string()).await.unwrap();
        bytes += piece(&mut body).await.len();
    }
    settle().await;
    assert_eq!(metric(&stentor, "delivered_events_total"), 3);
    assert_eq!(metric(&stentor, "delivered_bytes_total"), i64::try_from(bytes).unwrap());
}

#[tokio::test(start_paused = true)]
async fn closing_a_key_ends_its_bodies_with_a_retry() {
    let stentor = Stentor::new(Hub::memory());
    let open = |session: Session| {
        let filters = Filters::new(["news".parse::<TopicFilter>().unwrap()]).unwrap();
        stentor.stream_with(filters, Start::Now, plain(), session)
    };
    let mut ann = open(Session::new().with_key("ann")).await.unwrap().into_body();
    let mut ben = open(Session::new().with_key("ben")).await.unwrap().into_body();
    piece(&mut ann).await;
    piece(&mut ben).await;
    stentor.close_streams("ann");
    assert!(piece(&mut ann).await.starts_with("retry: "));
    assert!(ann.frame().await.is_none());
    stentor.hub().send(&topic("news"), "hello").await.unwrap();
    assert!(piece(&mut ben).await.contains("data: hello"));
}

#[tokio::test(start_paused = true)]
async fn a_body_ends_with_a_retry_when_its_session_expires() {
    let stentor = Stentor::new(Hub::memory());
    let filters = Filters::new(["news".parse::<TopicFilter>().unwrap()]).unwrap();
    let session = Session::new().expiring_in(Duration::from_secs(5));
    let response = stentor.stream_with(filters, Start::Now, plain(), session).await;
    let mut body = response.unwrap().into_body();
    piece(&mut body).await;
    let before = Instant::now();
    assert!(piece(&mut body).await.starts_with("retry: "));
    assert!((4..=6).contains(&before.elapsed().as_secs()));
    assert!(body.frame().await.is_none());
}

/// Number of threads that run a shard.
fn shard_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")));
    names.filter(|name| name.as_ref().is_ok_and(|name| name.trim() == "stentor-shard")).count()
}

#[test]
fn a_program_with_many_threads_gets_one_shard_thread_while_it_has_streams() {
    let stentor = Stentor::new(Hub::memory());
    for _ in 0..2 {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build();
        runtime.unwrap().block_on(async {
            assert_eq!(shard_threads(), 0, "before the first stream");
            let mut readers = tokio::task::JoinSet::new();
            let (opened, mut all_opened) = tokio::sync::mpsc::channel(1);
            for _ in 0..20 {
                let (stentor, opened) = (stentor.clone(), opened.clone());
                readers.spawn(async move {
                    let mut body = open(&stentor, "news", Start::Now, plain()).await;
                    piece(&mut body).await;
                    opened.send(()).await.unwrap();
                    assert!(piece(&mut body).await.contains("data: hello"));
                });
            }
            for _ in 0..20 {
                all_opened.recv().await.unwrap();
            }
            assert_eq!(shard_threads(), 1);
            stentor.hub().send(&topic("news"), "hello").await.unwrap();
            while let Some(reader) = readers.join_next().await {
                reader.unwrap();
            }
            let ended = async {
                while shard_threads() > 0 {
                    tokio::task::yield_now().await;
                }
            };
            let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
            ended.expect("the thread ends with the last stream");
        });
    }
}

#[test]
fn streams_work_in_a_runtime_after_another_one_was_shut_down() {
    let stentor = Stentor::new(Hub::memory());
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let mut lost = first.block_on(async {
        let mut body = open(&stentor, "news", Start::Now, plain()).await;
        piece(&mut body).await;
        body
    });
    drop(first);
    runtime().block_on(async {
        assert!(lost.frame().await.unwrap().is_err(), "its shard is gone");
        let mut body = open(&stentor, "news", Start::Now, plain()).await;
        piece(&mut body).await;
        stentor.hub().send(&topic("news"), "hello").await.unwrap();
        assert!(piece(&mut body).await.contains("data: hello"));
    });
}
