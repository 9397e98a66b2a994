//! States of topics, and lists of topics.

use stentor_sse::{Event, EventType};

use super::Log;
use super::log::{end, entry, event, name, topic_names};
use crate::publish::Publish;
use crate::storage::{TopicInfo, TopicState, TopicsQuery};

pub async fn a_topic_without_publishes_has_the_default_state(log: &Log) {
    log.event("a", "1").await;
    log.end("b").await;
    log.publish(event("b", "2").and(entry("c", "3"))).await;
    for topic in ["c", "A", "a/", "none"] {
        assert_eq!(log.state(topic).await, TopicState::default());
    }
}

pub async fn states_are_in_the_order_of_the_query(log: &Log) {
    for (topic, events) in [("a", 1), ("b", 2), ("c", 3)] {
        for _ in 0..events {
            log.event(topic, "x").await;
        }
    }
    let queried = topic_names(&["c", "none", "a", "b", "c"]);
    let states = log.storage.states(queried).await.unwrap();
    let events: Vec<u64> = states.iter().map(|state| state.events).collect();
    assert_eq!(events, [3, 0, 1, 2, 3]);
    assert_eq!(log.storage.states(Vec::new()).await, Ok(Vec::new()));
}

pub async fn a_state_counts_events_and_their_bytes(log: &Log) {
    log.event("a", "four").await;
    log.event("a", "é").await;
    log.event("a", "").await;
    let typed = Event::new("x").with_type(EventType::new("type").unwrap());
    log.publish(Publish::event(name("a"), typed)).await;
    log.event("b", "not here").await;
    log.publish(end("a", "ends are not counted")).await;
    let state = log.state("a").await;
    assert_eq!((state.events, state.bytes), (4, 4 + 2 + 5));
}

pub async fn a_state_contains_the_end(log: &Log) {
    log.event("a", "1").await;
    assert_eq!(log.state("a").await.end, None);
    log.publish(end("a", "why")).await;
    let state = log.state("a").await;
    assert_eq!(state.end.as_deref(), Some(&*log.sink_records()[1]));
    assert_eq!(state.removed_through, crate::Offset::ZERO);
}

impl Log {
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let infos = self.storage.topics(TopicsQuery { prefix, after, limit }).await.unwrap();
        infos.iter().map(|info| info.topic.to_string()).collect()
    }
}

pub async fn topics_are_listed_by_name_in_byte_order(log: &Log) {
    let mut names =
        ["b", "a", "a/b", "Z", "a!", "é", "e\u{301}", "🎉", "\u{ffff}", "a b", "$sys", "10", "9"];
    for name in names {
        log.event(name, "x").await;
    }
    names.sort_unstable();
    assert_eq!(log.list("", None, 100).await, names);
}

pub async fn topics_are_listed_with_their_counts(log: &Log) {
    log.append(vec![event("a", "1234"), event("b", "12"), event("a", "1"), end("b", "why")]).await;
    log.end("c").await;
    let query = TopicsQuery { limit: 10, ..TopicsQuery::default() };
    let info = |topic, events, bytes, ended| TopicInfo { topic: name(topic), events, bytes, ended };
    let expected = vec![info("a", 2, 5, false), info("b", 1, 2, true), info("c", 0, 0, true)];
    assert_eq!(log.storage.topics(query).await, Ok(expected));
}

pub async fn a_prefix_has_no_wildcards(log: &Log) {
    for topic in ["a", "a/b", "ab", "A", "a_b", "a%b", "b", "é", "ê", "\u{10ffff}", "\u{10ffff}x"]
    {
        log.event(topic, "x").await;
    }
    let list = |prefix: &'static str| log.list(prefix, None, 100);
    assert_eq!(list("a").await, ["a", "a%b", "a/b", "a_b", "ab"]);
    assert_eq!(list("a/").await, ["a/b"]);
    assert_eq!(list("a_").await, ["a_b"]);
    assert_eq!(list("a%").await, ["a%b"]);
    assert_eq!(list("é").await, ["é"]);
    assert_eq!(list("\u{10ffff}").await, ["\u{10ffff}", "\u{10ffff}x"]);
    assert_eq!(list("none").await, [""; 0]);
}

pub async fn a_list_starts_after_a_name_and_stops_at_its_limit(log: &Log) {
    for topic in ["a", "b/1", "b/2", "b/3", "c"] {
        log.event(topic, "x").await;
    }
    assert_eq!(log.list("", None, 2).await, ["a", "b/1"]);
    assert_eq!(log.list("", Some("b/1"), 2).await, ["b/2", "b/3"]);
    assert_eq!(log.list("", Some("c"), 2).await, [""; 0]);
    assert_eq!(log.list("b/", Some("b/1"), 1).await, ["b/2"]);
    assert_eq!(log.list("b/", Some("a"), 9).await, ["b/1", "b/2", "b/3"]);
    assert_eq!(log.list("b/", Some("b/2x"), 9).await, ["b/3"], "the name need not exist");
    assert_eq!(log.list("b/", Some("c"), 9).await, [""; 0]);
    assert_eq!(log.list("", None, 0).await, [""; 0]);
}

pub async fn a_topic_without_records_is_not_listed(log: &Log) {
    for topic in ["deleted", "kept", "trimmed"] {
        log.event(topic, "x").await;
    }
    log.end("ended").await;
    log.delete("deleted").await;
    let tail = log.event("trimmed", "x").await;
    log.trim("trimmed", tail).await;
    assert_eq!(log.list("", None, 100).await, ["ended", "kept"]);
    log.event("deleted", "again").await;
    log.event("trimmed", "again").await;
    assert_eq!(log.list("", None, 100).await, ["deleted", "ended", "kept", "trimmed"]);
    assert_eq!(log.list("", None, 2).await, ["deleted", "ended"]);
}
