//! Both implementations of streams send equal bytes, and count them equally.

use crate::harness::{Received, Server, StreamMode};

const FORMS: [(&str, &str); 6] = [
    ("/topics/t?_=", "text/event-stream"),
    ("/topics/t?control=off", "text/event-stream"),
    ("/events?topic=*&envelope=json", "text/event-stream"),
    ("/events?topic=t&envelope=json&control=off", "text/event-stream"),
    ("/topics/t?_=", "application/x-ndjson"),
    ("/events?topic=**&control=off", "application/x-ndjson"),
];

/// Replaces the parts of a stream that differ between servers: `retry:`, times, and the epoch of the log.
fn without_differences(text: &str, ids: &[String], times: &[String]) -> String {
    let mut text = text.to_owned();
    for (number, id) in ids.iter().enumerate() {
        text = text.replace(id, &format!("ID{number}"));
    }
    for time in times {
        text = text.replace(time, "TIME");
    }
    // The remaining ids are positions. They begin with the prefix that all ids of a log have.
    let same = ids[0].bytes().zip(ids[1].bytes()).take_while(|(one, other)| one == other).count();
    text = text.replace(&ids[0][..same], "LOG");
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("retry: ")).collect();
    lines.join("\n")
}

/// Returns the streams of readers in all forms: some read live, the others start after the end.
async fn texts(server: &Server) -> Vec<String> {
    let begin = server.publish("/topics/t", "begin").await;
    let mut readers = Vec::new();
    for (path, accept) in FORMS {
        let request = server.get(path).header("Accept", accept);
        readers.push(request.clone().open().await);
        readers.push(request.header("Last-Event-ID", "unreadable").open().await);
    }
    server.publish("/topics/t?type=named&retry=3000", "one\r\ntwo\n\nthree\u{2028}").await;
    server.publish("/topics/t", "").await;
    server.publish("/topics/t", "x".repeat(100_000)).await;
    let last = server.publish("/topics/t?end=done", "last \u{1f600}").await;
    let events = server.history("/topics/t").await;
    let text_of = |name: &str| -> Vec<String> {
        events.iter().map(|event| event[name].as_str().unwrap().to_owned()).collect()
    };
    let (mut ids, times) = (text_of("id"), text_of("time"));
    assert_eq!((&ids[0], ids.last()), (&begin, Some(&last)));
    ids.push(server.page("/topics/t").await["ended"]["id"].as_str().unwrap().to_owned());

    for (path, accept) in FORMS {
        let path = format!("{path}&from=earliest");
        readers.push(server.get(&path).header("Accept", accept).open().await);
    }
    let mut texts = Vec::new();
    for mut reader in readers {
        // Every form contains the last event; not every form contains the end.
        while !String::from_utf8_lossy(&reader.text).contains("last \u{1f600}") {
            reader.more().await;
        }
        texts.push(without_differences(&String::from_utf8_lossy(&reader.text), &ids, &times));
    }
    texts
}

#[tokio::test]
async fn every_form_has_the_same_bytes_on_every_path() {
    let mut all = Vec::new();
    for mode in StreamMode::ALL {
        all.push(texts(&Server::in_memory_with(mode).await).await);
    }
    let first = &all[0];
    assert!(first.iter().all(|text| text.contains("ID0") == text.contains("begin")), "{first:?}");
    for other in &all {
        for (number, (one, other)) in first.iter().zip(other).enumerate() {
            assert_eq!(one, other, "{:?}", FORMS[number / 2 % FORMS.len()]);
        }
    }
}

#[tokio::test]
async fn deliveries_are_counted_equally_on_every_path() {
    for mode in StreamMode::ALL {
        let server = Server::in_memory_with(mode).await;
        let mut readers = Vec::new();
        for number in 0..30 {
            let path = if number % 2 == 0 { "/topics/t" } else { "/events?topic=t&envelope=json" };
            let cursor = if number % 3 == 0 { "unreadable" } else { "" };
            readers.push(server.resume(path, cursor).await);
        }
        server.publish_each("/topics/t", 0..100).await;
        server.publish("/topics/t", "x".repeat(200_000)).await;
        server.publish("/topics/t?end", "").await;
        let mut bytes = 0;
        for mut reader in readers {
            let rest: Vec<Received> = reader.rest().await;
            assert_eq!(rest.iter().filter(|event| event.name == "message").count(), 101);
            bytes += reader.text.len();
            reader.closed().await;
        }
        server.until_metric("stentor_streams_open", 0).await;
        for (name, count) in [
            ("stentor_streams_total", 30),
            ("stentor_gaps_total", 10),
            ("stentor_delivered_events_total", 30 * 102),
        ] {
            assert_eq!(server.metric(name).await, count, "{name}");
        }
        // The count may include the chunked encoding.
        let counted = server.metric("stentor_delivered_bytes_total").await;
        let bytes = i64::try_from(bytes).unwrap();
        assert!((bytes..bytes + bytes / 100).contains(&counted), "{counted} for {bytes} bytes");
    }
}

#[tokio::test]
async fn the_memory_held_for_readers_is_counted_and_small() {
    const READERS: i64 = 500;
    const HELD: &str = "stentor_reader_bytes";
    let server = Server::in_memory().await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut stream = server.subscribe("/topics/t").await;
        stream.position().await;
        readers.push(stream);
    }
    server.publish("/topics/t", "to all of them").await;
    for reader in &mut readers {
        reader.data(1).await;
    }
    let live = server.metric(HELD).await;
    assert!(live > 0 && live < READERS * 512, "{live} bytes");
    // The readers stop reading. The events that wait for them are in the log, not in memory of each reader.
    for _ in 0..10 {
        server.publish("/topics/t", "x".repeat(1 << 20)).await;
    }
    server.until_stable("stentor_delivered_bytes_total").await;
    let stuck = server.metric(HELD).await;
    assert!(stuck > live && stuck < READERS * 4_096, "{stuck} bytes");
    drop(readers);
    server.until_metric("stentor_streams_open", 0).await;
    // The slots of readers that left are kept for new readers.
    let left = server.metric(HELD).await;
    assert!(left < READERS * 256, "{left} bytes");
}
