//! Records have the published content, and single records can be fetched.

use std::time::Duration;

use stentor_sse::{Event, EventType};

use super::Log;
use super::log::{contents, cursors, event, name, offsets};
use crate::cursor::Offset;
use crate::publish::{Entry, Publish};
use crate::record::{Attributes, Body};
use crate::topic::TopicName;

/// Texts that a storage could change by mistake.
const TEXTS: [&str; 17] = [
    "",
    " ",
    "  leading and trailing  ",
    "a\rb",
    "a\nb",
    "a\r\nb",
    "\n\n\n",
    "\r",
    "\0",
    "a\0b\0",
    "\u{feff}begins with a byte order mark",
    "🎉 e\u{301} é \u{10ffff}",
    "'; DROP TABLE records; --",
    "{\"json\": [1, 2.50, null]}",
    "data: x\n\nid: 7",
    "\u{1}\u{7f}\u{85}\u{2028}",
    "0012",
];

async fn assert_kept(log: &Log, bodies: Vec<Body>) {
    let topics = bodies.iter().enumerate().map(|(at, _)| name(&format!("t{at:04}")));
    let publish = |(topic, body)| Publish {
        entries: vec![Entry::new(topic, body)],
        key: None,
        requires_previous: false,
        lease: None,
    };
    let batch = topics.zip(bodies.clone()).map(publish).collect();
    log.append(batch).await;
    let records = log.all("*").await;
    let read: Vec<&Body> = records.iter().map(|record| record.body()).collect();
    assert_eq!(read, bodies.iter().collect::<Vec<_>>());
    // Also compares ids and times.
    assert_eq!(log.sink_records(), records);
    let fetched = log.storage.fetch(offsets(&cursors(&records))).await.unwrap();
    assert_eq!(fetched, records);
}

pub async fn data_is_kept_to_the_byte(log: &Log) {
    assert_kept(log, TEXTS.map(|text| Body::Event(Event::new(text))).to_vec()).await;
}

pub async fn types_are_kept_to_the_byte(log: &Log) {
    let types = [" x", "x ", "stentor.x", "🎉", "a\u{1}b", "MESSAGE", "0"];
    let of_type = |name: &str| Event::new("").with_type(EventType::new(name).unwrap());
    let mut events: Vec<Event> = types.map(of_type).to_vec();
    events.push(Event::new("without a type"));
    assert_kept(log, events.into_iter().map(Body::Event).collect()).await;
}

pub async fn retry_is_kept(log: &Log) {
    let retries = [0, 1, 1500, 3_600_000].map(Duration::from_millis);
    let mut events = retries.map(|retry| Event::new("x").with_retry(retry)).to_vec();
    events.push(Event::new("without a retry"));
    assert_kept(log, events.into_iter().map(Body::Event).collect()).await;
}

pub async fn reasons_of_ends_are_kept_to_the_byte(log: &Log) {
    let mut reasons = TEXTS.map(str::to_owned).to_vec();
    reasons.push("x".repeat(crate::END_REASON_BYTES_MAX));
    assert_kept(log, reasons.into_iter().map(|reason| Body::End { reason }).collect()).await;
}

pub async fn attributes_are_kept_to_the_byte(log: &Log) {
    let all = [
        Attributes::default(),
        Attributes { publisher_id: Some(String::new()) },
        Attributes { publisher_id: Some("urn:🎉 '\0".to_owned()) },
    ];
    let entry = |attributes: &Attributes| {
        let attributes = attributes.clone();
        Entry { topic: name("a"), body: Body::Event(Event::new("x")), attributes }
    };
    let end = Entry { body: Body::End { reason: String::new() }, ..entry(&all[2]) };
    let mut entries: Vec<Entry> = all.iter().map(entry).collect();
    entries.push(end);
    log.publish(Publish::new(entries, None)).await;
    let records = log.all("a").await;
    let read: Vec<&Attributes> = records.iter().map(|record| record.attributes()).collect();
    assert_eq!(read, [&all[0], &all[1], &all[2], &all[2]]);
    assert_eq!(log.sink_records(), records);
}

pub async fn a_large_event_is_kept(log: &Log) {
    let data: String = (0..1 << 20).map(|n| if n % 61 == 0 { '\n' } else { 'x' }).collect();
    assert_kept(log, vec![Body::Event(Event::new(data)), Body::Event(Event::new("small"))]).await;
}

pub async fn names_that_differ_in_one_byte_are_different_topics(log: &Log) {
    let longest_name = "x".repeat(TopicName::BYTES_MAX);
    let names = [
        "a",
        "A",
        "a ",
        " a",
        "a/",
        "/a",
        "a//b",
        "a/b",
        "é",
        "e\u{301}",
        "🎉",
        "0",
        "00",
        &longest_name,
    ];
    for name in names {
        log.event(name, name).await;
    }
    for topic in names {
        let records = log.storage.read(single(topic)).await.unwrap().records;
        assert_eq!(contents(&records), [format!("{topic}: {topic}")]);
        assert_eq!(log.state(topic).await.events, 1);
    }
}

/// A request for one topic, whose name can contain spaces.
fn single(topic: &str) -> crate::storage::ReadRequest {
    let filters = crate::Filters::topic(name(topic)).into();
    crate::storage::ReadRequest { filters, ..super::log::request("a", Offset::ZERO) }
}

pub async fn fetch_returns_records_in_the_order_of_the_query(log: &Log) {
    for n in 0..5 {
        log.event(&format!("t{n}"), "x").await;
    }
    let records = log.all("**").await;
    let ids = offsets(&cursors(&records));
    let fetched = log.storage.fetch(vec![ids[3], ids[0], ids[4]]).await.unwrap();
    assert_eq!(fetched, [&records[3], &records[0], &records[4]].map(Clone::clone));
}

pub async fn fetch_skips_missing_records(log: &Log) {
    let trimmed = log.event("a", "1").await;
    let kept = log.event("a", "2").await;
    let gone = log.event("b", "3").await;
    log.trim("a", trimmed).await;
    let deletion = log.delete("b").await;
    let offsets = vec![
        Offset::MAX,
        gone.offset,
        deletion,
        Offset::ZERO,
        kept.offset,
        trimmed.offset,
        deletion.next(),
    ];
    let fetched = log.storage.fetch(offsets).await.unwrap();
    assert_eq!(contents(&fetched), ["b deleted", "a: 2"]);
    assert_eq!(log.storage.fetch(Vec::new()).await.unwrap(), []);
}

pub async fn fetch_takes_ten_thousand_offsets(log: &Log) {
    log.append((0..10_000).map(|n| event("a", &n.to_string())).collect()).await;
    let mut records = log.sink_records();
    records.reverse();
    let fetched = log.storage.fetch(offsets(&cursors(&records))).await.unwrap();
    assert_eq!(fetched, records);
}
