//! Idempotency keys.

use std::time::Duration;

use super::Log;
use super::log::{appended, at, contents, end, entry, event, name};
use crate::cursor::Cursor;
use crate::key::{Key, KeyContent};
use crate::publish::Publish;
use crate::storage::Outcome;

const WINDOW: i64 = 600;

/// A key of topic `a` whose content has this hash.
fn key(name_of_key: &str, content: u8) -> Key {
    Key {
        scope: Some(name("a")),
        publisher: "p".to_owned(),
        name: name_of_key.to_owned(),
        window: Duration::from_secs(WINDOW.unsigned_abs()),
        source: None,
        content: KeyContent::Whole([content; 16]),
    }
}

fn repeat((first, last): (Cursor, Cursor)) -> Outcome {
    Outcome::Repeat { first, last }
}

pub async fn a_repeat_appends_nothing_and_has_the_ids_of_the_first_time(log: &Log) {
    let publish = event("a", "1").and(entry("a", "2")).with_key(key("k", 1));
    let ids = appended(&log.publish(publish.clone()).await);
    log.event("a", "between").await;
    for _ in 0..2 {
        assert_eq!(log.publish(publish.clone()).await, repeat(ids));
    }
    assert_eq!(contents(&log.all("a").await), ["a: 1", "a: 2", "a: between"]);
    assert_eq!(log.sink_records().len(), 3);
}

pub async fn a_key_used_twice_in_a_batch_is_appended_once(log: &Log) {
    let publish = event("a", "1").with_key(key("k", 1));
    let other = event("a", "2").with_key(key("k", 2));
    let outcomes = log.append(vec![publish.clone(), publish, other]).await;
    let ids = appended(&outcomes[0]);
    assert_eq!(outcomes[1..], [repeat(ids), Outcome::KeyReused]);
    assert_eq!(contents(&log.all("a").await), ["a: 1"]);
}

pub async fn a_key_with_other_content_is_refused(log: &Log) {
    log.publish(event("a", "1").with_key(key("k", 1))).await;
    let outcomes = log.append(vec![event("a", "2").with_key(key("k", 2)), event("a", "3")]).await;
    assert_eq!(outcomes[0], Outcome::KeyReused);
    appended(&outcomes[1]);
    assert_eq!(contents(&log.all("a").await), ["a: 1", "a: 3"]);
}

pub async fn a_repeat_is_a_repeat_also_after_an_end(log: &Log) {
    let publish = event("a", "1").with_key(key("k", 1));
    let ids = appended(&log.publish(publish.clone()).await);
    log.publish(end("a", "done")).await;
    assert_eq!(log.publish(publish).await, repeat(ids));
    let other = event("a", "2").with_key(key("k", 2));
    assert_eq!(log.publish(other).await, Outcome::KeyReused);
}

pub async fn a_repeat_is_a_repeat_also_after_a_trim(log: &Log) {
    let publish = event("a", "1").with_key(key("k", 1));
    let ids = appended(&log.publish(publish.clone()).await);
    log.trim("a", ids.1).await;
    assert_eq!(log.publish(publish).await, repeat(ids));
    assert_eq!(contents(&log.all("a").await), [""; 0]);
}

pub async fn a_repeat_is_a_repeat_also_after_a_deletion(log: &Log) {
    let publish = event("a", "1").with_key(key("k", 1));
    let ids = appended(&log.publish(publish.clone()).await);
    log.delete("a").await;
    assert_eq!(log.publish(publish.clone()).await, repeat(ids));
    assert_eq!(
        contents(&log.all("a").await),
        ["a deleted"],
        "a repeat does not use the topic again"
    );
    log.event("a", "2").await;
    assert_eq!(log.publish(publish).await, repeat(ids));
}

pub async fn keys_of_another_topic_publisher_or_name_are_different(log: &Log) {
    let keys = [
        key("k", 1),
        Key { scope: Some(name("b")), ..key("k", 1) },
        Key { publisher: "q".to_owned(), ..key("k", 1) },
        Key { publisher: String::new(), ..key("k", 1) },
        key("K", 1),
        key("k ", 1),
    ];
    let publish = |key: &Key| {
        let topic = key.scope.clone().unwrap_or(name("a"));
        event(topic.as_str(), "x").with_key(key.clone())
    };
    let outcomes = log.append(keys.iter().map(publish).collect()).await;
    let again = log.append(keys.iter().map(publish).collect()).await;
    for (outcome, again) in outcomes.iter().zip(again) {
        assert_eq!(again, repeat(appended(outcome)));
    }
    assert_eq!(log.sink_records().len(), keys.len());
}

pub async fn a_key_of_a_batch_covers_all_of_it(log: &Log) {
    let whole = Key { scope: None, ..key("k", 1) };
    let publish = event("a", "1").and(entry("b", "2")).and(entry("c", "3")).with_key(whole);
    let ids = appended(&log.publish(publish.clone()).await);
    log.publish(end("b", "done")).await;
    assert_eq!(log.publish(publish).await, repeat(ids));
    assert_eq!(log.sink_records().len(), 4);
}

pub async fn a_key_is_forgotten_when_its_window_is_over(log: &Log) {
    let publish = event("a", "1").with_key(key("k", 1));
    let ids = appended(&log.publish_at(publish.clone(), at(0)).await);
    assert_eq!(log.publish_at(publish.clone(), at(WINDOW - 1)).await, repeat(ids));
    let later = log.publish_at(publish, at(3 * WINDOW)).await;
    assert!(appended(&later).0.offset > ids.0.offset);
    assert_eq!(contents(&log.all("a").await), ["a: 1", "a: 1"]);
}

pub async fn a_forgotten_key_may_be_used_for_other_content(log: &Log) {
    log.publish_at(event("a", "1").with_key(key("k", 1)), at(0)).await;
    let other = event("a", "2").with_key(key("k", 2));
    let ids = appended(&log.publish_at(other.clone(), at(WINDOW + 1)).await);
    assert_eq!(log.publish_at(other, at(WINDOW + 2)).await, repeat(ids));
    let first = event("a", "1").with_key(key("k", 1));
    assert_eq!(log.publish_at(first, at(WINDOW + 3)).await, Outcome::KeyReused);
}

pub async fn a_refused_publish_stores_no_key(log: &Log) {
    log.end("a").await;
    let publish = event("a", "1").with_key(key("k", 1));
    let outcome = log.publish(publish.clone()).await;
    assert!(matches!(outcome, Outcome::Ended { .. }), "{outcome:?}");
    log.delete("a").await;
    appended(&log.publish(publish).await);
    assert_eq!(contents(&log.all("a").await), ["a: 1"]);
}

pub async fn a_publish_that_requires_a_repeat_is_appended(log: &Log) {
    let publish = event("a", "1").with_key(key("k", 1));
    let ids = appended(&log.publish(publish.clone()).await);
    let outcomes = log.append(vec![publish, event("a", "2").requiring_previous()]).await;
    assert_eq!(outcomes[0], repeat(ids));
    appended(&outcomes[1]);
    assert_eq!(contents(&log.all("a").await), ["a: 1", "a: 2"]);
}

pub async fn a_publish_that_requires_one_with_a_reused_key_is_withheld(log: &Log) {
    log.publish(event("a", "1").with_key(key("k", 1))).await;
    let differs = event("a", "2").with_key(key("k", 2));
    let follows = event("a", "3").with_key(key("l", 3)).requiring_previous();
    let outcomes = log.append(vec![differs, follows.clone()]).await;
    assert_eq!(outcomes, [Outcome::KeyReused, Outcome::Withheld]);
    appended(&log.publish(follows).await);
    assert_eq!(contents(&log.all("a").await), ["a: 1", "a: 3"]);
}

pub async fn a_repeat_is_withheld_too(log: &Log) {
    let publish = event("a", "1").with_key(key("k", 1));
    log.publish(publish.clone()).await;
    let differs = event("a", "2").with_key(key("k", 2));
    let outcomes = log.append(vec![
        differs,
        publish.requiring_previous(),
        event("a", "3").requiring_previous(),
    ]);
    assert_eq!(outcomes.await, [Outcome::KeyReused, Outcome::Withheld, Outcome::Withheld]);
}

fn part(content: u8) -> Key {
    Key {
        content: KeyContent::Part { index: 0, before: [0; 16], after: [content; 16] },
        ..key("k", content)
    }
}

/// A batch over the topics `a` and `b`.
fn batch(content: u8) -> Publish {
    event("a", "1").and(entry("b", "2")).with_key(Key { scope: None, ..key("k", content) })
}

pub async fn a_key_of_an_upload_is_refused_for_another_publish(log: &Log) {
    log.publish(event("a", "x").with_key(part(1))).await;
    let single = event("a", "x").with_key(key("k", 1));
    assert_eq!(log.publish(single).await, Outcome::KeyReused);
    assert_eq!(log.publish(batch(1)).await, Outcome::KeyReused);
    assert_eq!(contents(&log.all("a").await), ["a: x"]);
}

pub async fn a_key_of_a_publish_is_refused_for_an_upload(log: &Log) {
    log.publish(event("a", "x").with_key(key("k", 1))).await;
    let outcome = log.publish(event("a", "x").with_key(part(1))).await;
    assert_eq!(outcome, Outcome::KeyReused);
    assert_eq!(contents(&log.all("a").await), ["a: x"]);
}

pub async fn a_key_of_a_batch_is_taken_in_each_of_its_topics(log: &Log) {
    let ids = appended(&log.publish(batch(1)).await);
    for topic in ["a", "b"] {
        let key = |content| Key { scope: Some(name(topic)), ..key("k", content) };
        let other = log.publish(event(topic, "x").with_key(key(2))).await;
        assert_eq!(other, Outcome::KeyReused, "{topic}");
        let equal = log.publish(event(topic, "x").with_key(key(1))).await;
        assert_eq!(equal, repeat(ids), "the content is the same");
    }
    let outcome = log.publish(event("a", "x").with_key(part(1))).await;
    assert_eq!(outcome, Outcome::KeyReused, "an upload");
    let elsewhere = Key { scope: Some(name("c")), ..key("k", 2) };
    appended(&log.publish(event("c", "x").with_key(elsewhere)).await);
    assert_eq!(log.sink_records().len(), 3);
}

pub async fn a_key_of_a_topic_is_taken_for_batches_with_the_topic(log: &Log) {
    let key_of_b = Key { scope: Some(name("b")), ..key("k", 1) };
    let ids = appended(&log.publish(event("b", "x").with_key(key_of_b)).await);
    assert_eq!(log.publish(batch(2)).await, Outcome::KeyReused);
    assert_eq!(log.publish(batch(1)).await, repeat(ids), "the content is the same");
    let elsewhere = event("c", "1").and(entry("d", "2"));
    appended(&log.publish(elsewhere.with_key(Key { scope: None, ..key("k", 2) })).await);
}

pub async fn a_key_of_a_batch_whose_events_are_gone_is_still_taken(log: &Log) {
    let ids = appended(&log.publish(batch(1)).await);
    log.trim("a", ids.1).await;
    log.delete("b").await;
    for topic in ["a", "b"] {
        let other = Key { scope: Some(name(topic)), ..key("k", 2) };
        let outcome = log.publish(event(topic, "x").with_key(other)).await;
        assert_eq!(outcome, Outcome::KeyReused, "{topic}");
    }
}

pub async fn a_clock_that_goes_back_makes_no_window_longer(log: &Log) {
    let publish = event("a", "1").with_key(key("k", 1));
    log.publish_at(publish.clone(), at(0)).await;
    log.publish_at(event("a", "2").with_key(key("l", 2)), at(WINDOW + 1)).await;
    let later = log.publish_at(publish, at(WINDOW - 1)).await;
    assert!(matches!(later, Outcome::Appended { .. }), "{later:?}");
}

pub async fn a_jump_of_the_clock_makes_no_window_shorter(log: &Log) {
    const DAY: i64 = 24 * 3_600;
    let publish = event("a", "1").with_key(key("k", 1));
    let ids = appended(&log.publish_at(publish.clone(), at(0)).await);
    log.publish_at(event("a", "2"), at(DAY)).await;
    assert_eq!(log.publish_at(publish.clone(), at(DAY)).await, repeat(ids));
    assert_eq!(log.publish_at(publish, at(1)).await, repeat(ids));
}
