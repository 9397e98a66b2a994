//! The random calls.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use stentor_sse::{Event, EventType};

use super::super::log::name;
use crate::key::{Key, KeyContent};
use crate::publish::{Entry, Publish};
use crate::record::{Attributes, Body};
use crate::storage::{Budget, KeyHash};
use crate::topic::TopicName;

/// Few names, so that calls often use the same topic.
pub(super) const TOPICS: [&str; 7] = ["a", "a/b", "a/b/c", "a/é", "b", "$s", "$s/a"];

pub(super) const FILTERS: [&str; 11] =
    ["a", "a/b", "$s", "*", "a/*", "a/**", "**", "$s/*", "a b", "a */b a/**", "none"];

pub(super) const PUBLISHER_IDS: [&str; 2] = ["x", "y"];

/// The key window. No sum of the steps of time is within 1/64 of it, so that the model can ignore that a repeat within
/// 1/64 of the window does not restart it.
const WINDOW: Duration = Duration::from_secs(1_000);

#[derive(Clone, Debug)]
pub(super) enum Call {
    Append {
        batch: Vec<Publish>,
        seconds: i64,
    },
    Delete {
        topic: TopicName,
        seconds: i64,
    },
    Trim(Vec<(TopicName, Index)>),
    /// Trims a topic to limits. Times are in seconds before now.
    TrimTo {
        topic: TopicName,
        limits: Limits,
    },
    Reopen,
    Read {
        filters: String,
        after: Index,
        until: Option<Index>,
        budget: Budget,
        reported: Index,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) age: Option<i64>,
    pub(super) events: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) ended: Option<i64>,
}

pub(super) fn calls() -> impl Strategy<Value = Vec<Call>> {
    prop::collection::vec(call(), 1..40)
}

fn call() -> impl Strategy<Value = Call> {
    let batch = prop::collection::vec(publish(), 1..5);
    prop_oneof![
        8 => (batch, seconds()).prop_map(|(batch, seconds)| Call::Append { batch, seconds }),
        2 => (topic(), seconds()).prop_map(|(topic, seconds)| Call::Delete { topic, seconds }),
        3 => prop::collection::vec((topic(), any::<Index>()), 1..3).prop_map(Call::Trim),
        3 => (topic(), limits()).prop_map(|(topic, limits)| Call::TrimTo { topic, limits }),
        6 => read(),
        1 => Just(Call::Reopen),
    ]
}

/// Steps of the clock: mostly small ones, sometimes back, over most of a key window, or over more than all windows.
fn seconds() -> impl Strategy<Value = i64> {
    prop_oneof![4 => Just(0), 4 => Just(1), 2 => Just(-2), 2 => Just(600), 1 => Just(3_000)]
}

fn limits() -> impl Strategy<Value = Limits> {
    use prop::option::weighted;
    let age = || weighted(0.3, prop_oneof![Just(-1), 0..4_i64, Just(5_000)]);
    (age(), weighted(0.4, 0..4_u64), weighted(0.4, 0..50_u64), age())
        .prop_map(|(age, events, bytes, ended)| Limits { age, events, bytes, ended })
}

fn topic() -> impl Strategy<Value = TopicName> {
    select(&TOPICS[..]).prop_map(name)
}

fn read() -> impl Strategy<Value = Call> {
    let some = |text: Vec<&str>| text.join(" ");
    let filters = subsequence(&FILTERS[..], 1..3).prop_map(some);
    let until = prop::option::of(any::<Index>());
    (filters, any::<Index>(), until, budget(), any::<Index>()).prop_map(
        |(filters, after, until, budget, reported)| Call::Read {
            filters,
            after,
            until,
            budget,
            reported,
        },
    )
}

fn budget() -> impl Strategy<Value = Budget> {
    let few = || prop_oneof![0..5_usize, Just(1_000)];
    let bytes = prop_oneof![0..40_usize, Just(1 << 20)];
    (few(), bytes, few()).prop_map(|(records, bytes, rows)| Budget { records, bytes, rows })
}

fn publish() -> impl Strategy<Value = Publish> {
    let entries = prop_oneof![
        4 => prop::collection::vec(entry(), 1),
        1 => prop::collection::vec(entry(), 2..4),
    ];
    let publish = prop_oneof![
        3 => entries.prop_map(|entries| Publish::new(entries, None)),
        1 => whole(),
        2 => part(),
    ];
    (publish, any::<bool>())
        .prop_map(|(publish, requires_previous)| Publish { requires_previous, ..publish })
}

fn entry() -> impl Strategy<Value = Entry> {
    let body = prop_oneof![8 => event().prop_map(Body::Event), 1 => end()];
    let ids = PUBLISHER_IDS.map(|id| Some(id.to_owned()));
    let publisher_id = prop_oneof![4 => Just(None), 1 => select(ids.to_vec())];
    (topic(), body, publisher_id).prop_map(|(topic, body, publisher_id)| Entry {
        topic,
        body,
        attributes: Attributes { publisher_id },
    })
}

fn event() -> impl Strategy<Value = Event> {
    let data = prop_oneof!["[a-c\r\n\0é]{0,6}", "[x]{20,40}"];
    (data, any::<bool>()).prop_map(|(data, typed)| {
        let event = Event::new(data);
        match EventType::new("type") {
            Ok(event_type) if typed => event.with_type(event_type),
            _ => event,
        }
    })
}

fn end() -> impl Strategy<Value = Body> {
    "[a-c]{0,3}".prop_map(|reason| Body::End { reason })
}

fn key(scope: Option<TopicName>, number: u8, content: KeyContent) -> Key {
    let publisher = "p".to_owned();
    Key { scope, publisher, name: format!("k{number}"), window: WINDOW, source: None, content }
}

/// A publish with a key: one of two contents, with one or two entries.
fn whole() -> impl Strategy<Value = Publish> {
    (topic(), 0..2_u8, 0..2_u8, any::<bool>()).prop_map(|(topic, number, content, batch)| {
        let body = Body::Event(Event::new(format!("{content}")));
        let mut entries = vec![Entry::new(topic.clone(), body.clone())];
        if batch {
            entries.push(Entry::new(name("b"), body));
        }
        let hash = KeyContent::Whole([content; 16]);
        let key = key((!batch).then_some(topic), number, hash);
        Publish::new(entries, Some(key))
    })
}

/// The running hash of the first `parts` parts of one of two contents.
fn hash(content: u8, parts: u64) -> KeyHash {
    let mut hash = [0; 16];
    if parts > 0 {
        hash = [content + 1; 16];
        hash[0] = u8::try_from(parts).unwrap_or(u8::MAX);
    }
    hash
}

fn part() -> impl Strategy<Value = Publish> {
    let topic = select(&["a", "b"][..]).prop_map(name);
    let content = prop_oneof![4 => Just(0_u8), 1 => Just(1)];
    (topic, content, 0..4_u64).prop_map(|(topic, content, index)| {
        let body = Body::Event(Event::new(format!("part {index} of {content}")));
        let (before, after) = (hash(content, index), hash(content, index + 1));
        let content = KeyContent::Part { index, before, after };
        let entries = vec![Entry::new(topic.clone(), body)];
        let key = key(Some(topic), 0, content);
        Publish::new(entries, Some(key))
    })
}
