//! Idempotency keys.

use std::time::Duration;

use super::Log;
use super::log::{appended, at, contents, end, entry, event, name};
use crate::cursor::Cursor;
use crate::key::{Key, KeyContent};
use crate::storage::Outcome;

const WINDOW: i64 = 600;

/// A key of topic `a` whose content has this hash.
fn key(name_of_key: &str, content: u8) -> Key {
    Key {
        scope: Some(name("a")),
        publisher: "p".to_owned(),
        name: name_of_key.to_owned(),
        window: Duration::from_secs(WINDOW.unsigned_abs()),
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

pub async fn keys_of_another_topic_publisher_name_or_kind_are_different(log: &Log) {
    let hash = [1; 16];
    let part = KeyContent::Part { index: 0, before: [0; 16], after: hash };
    let keys = [
        key("k", 1),
        Key { scope: Some(name("b")), ..key("k", 1) },
        Key { scope: None, ..key("k", 1) },
        Key { publisher: "q".to_owned(), ..key("k", 1) },
        Key { publisher: String::new(), ..key("k", 1) },
        key("K", 1),
        key("k ", 1),
        Key { content: part, ..key("k", 1) },
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
