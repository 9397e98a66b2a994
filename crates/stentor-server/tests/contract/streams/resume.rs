//! Reconnecting with `Last-Event-ID`: nothing is lost, nothing is sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::mode;
use crate::harness::scenarios::streams;
use crate::harness::{EventStream, Server};

/// Publishes numbers from 0 at full speed until `stop` is set, and returns their count.
async fn publish_until(server: &Server, path: &str, stop: &AtomicBool) -> usize {
    let mut next = 0;
    while !stop.load(Ordering::Relaxed) {
        server.publish_each(path, next..next + 50).await;
        next += 50;
    }
    next
}

/// Progress of a reader: the last number, and the id after which it resumes.
#[derive(Clone, Debug)]
struct Progress(usize, String);

/// Reads `count` consecutive numbers.
async fn read_run(stream: &mut EventStream, count: usize, before: Option<Progress>) -> Progress {
    let mut last = before;
    for _ in 0..count {
        let event = stream.next().await.expect("more events");
        let number: usize = event.data.parse().unwrap_or_else(|_| panic!("{event:?}"));
        assert!(last.as_ref().is_none_or(|last| number == last.0 + 1), "{number} after {last:?}");
        last = Some(Progress(number, event.id));
    }
    last.unwrap()
}

#[tokio::test]
async fn a_reader_gets_exactly_the_events_after_its_last_one() {
    let server = Server::start_with(mode()).await;
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(server.publish("/topics/news", number.to_string()).await);
        server.publish("/topics/other", "x").await;
    }
    server.publish("/topics/news?end", "").await;
    for (at, id) in ids.iter().enumerate() {
        let mut rest = server.resume("/topics/news", id).await.rest().await;
        assert_eq!(rest.pop().unwrap().name, "stentor.end");
        let numbers: Vec<String> = (at + 1..6).map(|number| number.to_string()).collect();
        assert_eq!(rest.into_iter().map(|event| event.data).collect::<Vec<_>>(), numbers);
    }
}

#[tokio::test]
async fn a_reader_of_many_topics_gets_exactly_the_events_after_its_last_one() {
    let server = Server::start_with(mode()).await;
    for number in 0..12 {
        server
            .publish(
                &format!("/topics/{}", ["a", "b/x", "other", "b/y"][number % 4]),
                number.to_string(),
            )
            .await;
    }
    let path = "/events?topic=a&topic=b/*";
    let wanted = ["0", "1", "3", "4", "5", "7", "8", "9", "11"];
    let mut whole = server.subscribe(&format!("{path}&from=earliest")).await;
    for at in 1..=wanted.len() {
        let event = whole.next().await.unwrap();
        assert_eq!(event.data, wanted[at - 1]);
        let mut rest = server.resume(path, &event.id).await;
        assert_eq!(rest.data(wanted.len() - at).await, wanted[at..], "after {event:?}");
    }
}

#[tokio::test]
async fn a_reader_that_disconnects_among_thousands_of_events_continues_at_the_next() {
    let server = Server::start_with(mode()).await;
    server.publish_each("/topics/news", 0..6_000).await;
    let mut stream = server.subscribe("/topics/news?from=earliest").await;
    let mut last = read_run(&mut stream, 1_234, None).await;
    assert_eq!(last.0, 1_233);
    for count in [1, 499, 500, 501, 2_345] {
        drop(stream);
        stream = server.resume("/topics/news", &last.1).await;
        last = read_run(&mut stream, count, Some(last)).await;
    }
    read_run(&mut stream, 6_000 - last.0 - 1, Some(last)).await;
    server.publish("/topics/news", "6000").await;
    assert_eq!(stream.data(1).await, ["6000"]);
}

#[tokio::test]
async fn readers_that_reconnect_while_a_topic_is_written_at_full_speed_miss_nothing() {
    let server = Server::start_with(mode()).await;
    let stop = AtomicBool::new(false);
    let reading = async {
        let mut stream = server.subscribe("/topics/news?from=earliest").await;
        let mut last = read_run(&mut stream, 1, None).await;
        assert_eq!(last.0, 0);
        for turn in 0..60 {
            drop(stream);
            stream = server.resume("/topics/news", &last.1).await;
            last = read_run(&mut stream, 1 + turn * 7 % 90, Some(last)).await;
        }
        stop.store(true, Ordering::Relaxed);
        (stream, last)
    };
    let (count, (mut stream, last)) =
        tokio::join!(publish_until(&server, "/topics/news", &stop), reading);
    read_run(&mut stream, count - 1 - last.0, Some(last)).await;
    server.publish("/topics/news", count.to_string()).await;
    assert_eq!(stream.data(1).await, [count.to_string()]);
}

#[tokio::test]
async fn a_thousand_readers_reconnect_and_none_misses_an_event() {
    let server = Arc::new(Server::in_memory_with(mode()).await);
    let stop = AtomicBool::new(false);
    server.publish("/topics/news", "0").await;
    server.delete("/topics/news").send().await;
    let crowd = async {
        let room = Arc::new(Semaphore::new(500));
        let mut readers = JoinSet::new();
        for number in 0..1_000 {
            let (server, room) = (Arc::clone(&server), Arc::clone(&room));
            readers.spawn(async move {
                let _permit = room.acquire().await.unwrap();
                let path = ["/topics/news", "/topics/news?last=5", "/events?topic=*"][number % 3];
                let mut stream = server.subscribe(path).await;
                let last = read_run(&mut stream, 10 + number % 20, None).await;
                drop(stream);
                let mut stream = server.resume(path, &last.1).await;
                read_run(&mut stream, 5, Some(last)).await;
            });
        }
        while let Some(reader) = readers.join_next().await {
            reader.unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(publish_until(&server, "/topics/news", &stop), crowd);
    server.until_metric("stentor_streams_open", 0).await;
    assert_eq!(server.metric("stentor_gaps_total").await, 0);
}

#[tokio::test]
async fn a_stream_cut_during_last_each_continues_with_all_after_its_cursor() {
    let server = Server::start_with(mode()).await;
    for (topic, data) in [("x/a", "a1"), ("x/a", "a2"), ("x/b", "b1"), ("x/b", "b2"), ("x/b", "b3")]
    {
        server.publish(&format!("/topics/{topic}"), data).await;
    }
    let path = "/events?topic=x/*&last_each=1";
    let mut stream = server.subscribe(path).await;
    let first = stream.next().await.unwrap();
    assert_eq!(first.data, "a2");
    let mut again = server.resume(path, &first.id).await;
    assert_eq!(again.data(3).await, ["b1", "b2", "b3"]);
    assert_eq!(
        stream.data(1).await,
        ["b3"],
        "an uncut stream gets the last event of each topic only"
    );
}

#[tokio::test]
async fn a_reader_with_the_newest_id_waits_for_new_events() {
    let server = Server::start_with(mode()).await;
    let id = server.publish("/topics/news", "old").await;
    let mut stream = server.resume("/topics/news", &id).await;
    stream.position().await;
    server.publish("/topics/news", "new").await;
    assert_eq!(stream.data(1).await, ["new"]);
}

#[tokio::test]
async fn a_reader_that_got_nothing_resumes_from_where_it_began() {
    streams::a_reader_that_got_nothing_resumes_from_where_it_began(
        Server::start_with(mode()).await,
    )
    .await;
}

#[tokio::test]
async fn an_id_of_another_stream_is_a_position_in_the_log() {
    streams::an_id_of_another_stream_is_a_position_in_the_log(Server::start_with(mode()).await)
        .await;
}
