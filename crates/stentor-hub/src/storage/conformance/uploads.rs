//! Uploads with a key: a repeat publishes only the missing parts.

use std::time::Duration;

use super::Log;
use super::log::{appended, at, contents, end, event, name};
use crate::cursor::Cursor;
use crate::key::{Key, KeyContent};
use crate::publish::Publish;
use crate::storage::{KeyHash, Outcome};
use crate::timestamp::Timestamp;

const WINDOW: i64 = 600;

/// The running hash of the first `parts` parts of one content.
fn hash(content: u8, parts: u64) -> KeyHash {
    let mut hash = [0; 16];
    if parts > 0 {
        hash[0] = content;
        hash[8..].copy_from_slice(&parts.to_be_bytes());
    }
    hash
}

/// One part of an upload to topic `a`.
fn part(content: u8, index: u64) -> Publish {
    let key = Key {
        scope: Some(name("a")),
        publisher: "p".to_owned(),
        name: "up".to_owned(),
        window: Duration::from_secs(WINDOW.unsigned_abs()),
        source: None,
        content: KeyContent::Part {
            index,
            before: hash(content, index),
            after: hash(content, index + 1),
        },
    };
    event("a", &index.to_string()).with_key(key)
}

/// A publish without entries, with the key of a part: a repeat if the part is stored; otherwise refused.
fn probe(content: u8, index: u64) -> Publish {
    Publish { entries: Vec::new(), ..part(content, index) }
}

impl Log {
    /// The ids of the first and the last record of the upload, if exactly `parts` parts of this content
    /// are stored under its key. Like every repeat, this restarts the key's window.
    async fn upload_at(&self, content: u8, parts: u64, now: Timestamp) -> Option<(Cursor, Cursor)> {
        if self.publish_at(probe(content, parts), now).await != Outcome::KeyReused {
            return None;
        }
        match self.publish_at(probe(content, parts - 1), now).await {
            Outcome::Repeat { first, last } => Some((first, last)),
            _ => None,
        }
    }

    async fn upload(&self, content: u8, parts: u64) -> Option<(Cursor, Cursor)> {
        self.upload_at(content, parts, at(0)).await
    }
}

pub async fn an_upload_counts_the_parts_that_are_stored(log: &Log) {
    assert_eq!(log.upload(1, 1).await, None);
    let (first, _) = appended(&log.publish(part(1, 0)).await);
    assert_eq!(log.upload(1, 1).await, Some((first, first)));
    log.event("a", "not part of the upload").await;
    let (last, _) = appended(&log.publish(part(1, 1)).await);
    assert_eq!(log.upload(1, 2).await, Some((first, last)));
}

pub async fn the_parts_of_an_upload_may_be_in_one_batch(log: &Log) {
    let outcomes = log.append((0..5).map(|index| part(1, index)).collect()).await;
    let ids: Vec<_> = outcomes.iter().map(|outcome| appended(outcome).0).collect();
    assert_eq!(log.upload(1, 5).await, Some((ids[0], ids[4])));
    assert_eq!(contents(&log.all("a").await), ["a: 0", "a: 1", "a: 2", "a: 3", "a: 4"]);
}

pub async fn a_stored_part_is_a_repeat(log: &Log) {
    let ids: Vec<_> = log.append((0..3).map(|index| part(1, index)).collect()).await;
    let (first, last) = (appended(&ids[0]).0, appended(&ids[2]).0);
    let outcomes = log.append((0..4).map(|index| part(1, index)).collect()).await;
    for outcome in &outcomes[..3] {
        assert_eq!(*outcome, Outcome::Repeat { first, last });
    }
    appended(&outcomes[3]);
    assert_eq!(contents(&log.all("a").await), ["a: 0", "a: 1", "a: 2", "a: 3"]);
}

pub async fn every_stored_part_is_refused_with_other_content(log: &Log) {
    log.append((0..3).map(|index| part(1, index)).collect()).await;
    let upload = log.upload(1, 3).await;
    assert!(upload.is_some());
    for index in 0..3 {
        assert_eq!(log.publish(part(2, index)).await, Outcome::KeyReused, "part {index}");
    }
    assert_eq!(log.upload(1, 3).await, upload);
    assert_eq!(log.sink_records().len(), 3);
}

pub async fn a_repeat_is_refused_from_the_first_part_with_other_content(log: &Log) {
    log.append((0..4).map(|index| part(1, index)).collect()).await;
    // The running hashes agree up to the second part.
    let outcomes = log.append(vec![part(1, 0), part(1, 1), part(2, 2), part(2, 3)]).await;
    for outcome in &outcomes[..2] {
        assert!(matches!(outcome, Outcome::Repeat { .. }), "{outcomes:?}");
    }
    assert_eq!(outcomes[2..], [Outcome::KeyReused, Outcome::KeyReused]);
    assert_eq!(log.sink_records().len(), 4);
}

pub async fn parts_appended_one_by_one_are_compared_too(log: &Log) {
    for index in 0..3 {
        log.publish(part(1, index)).await;
        log.event("a", "not part of the upload").await;
    }
    for index in 0..3 {
        let outcome = log.publish(part(1, index)).await;
        assert!(matches!(outcome, Outcome::Repeat { .. }), "{outcome:?}");
        assert_eq!(log.publish(part(2, index)).await, Outcome::KeyReused, "part {index}");
    }
}

pub async fn parts_of_two_uploads_are_kept_apart(log: &Log) {
    let other = |content, index| {
        let publish = part(content, index);
        let key = publish.key.clone().map(|key| Key { name: "other".to_owned(), ..key });
        Publish { key, ..publish }
    };
    for index in 0..3 {
        log.append(vec![part(1, index), other(2, index)]).await;
    }
    let outcomes = log.append(vec![part(1, 1), other(2, 1), part(2, 1), other(1, 1)]).await;
    for outcome in &outcomes[..2] {
        assert!(matches!(outcome, Outcome::Repeat { .. }), "{outcomes:?}");
    }
    assert_eq!(outcomes[2..], [Outcome::KeyReused, Outcome::KeyReused]);
}

pub async fn a_part_after_a_missing_one_is_refused(log: &Log) {
    assert_eq!(log.publish(part(1, 1)).await, Outcome::KeyReused);
    assert_eq!(log.sink_records(), []);
    appended(&log.publish(part(1, 0)).await);
    assert_eq!(log.publish(part(1, 2)).await, Outcome::KeyReused);
    assert_eq!(contents(&log.all("a").await), ["a: 0"]);
}

pub async fn a_part_after_other_content_is_refused(log: &Log) {
    log.append((0..2).map(|index| part(1, index)).collect()).await;
    assert_eq!(log.publish(part(2, 2)).await, Outcome::KeyReused);
    appended(&log.publish(part(1, 2)).await);
    assert_eq!(log.sink_records().len(), 3);
}

pub async fn a_part_for_an_ended_topic_is_refused_and_not_counted(log: &Log) {
    log.publish(part(1, 0)).await;
    let upload = log.upload(1, 1).await;
    assert!(upload.is_some());
    log.publish(end("a", "done")).await;
    let outcomes = log.append(vec![part(1, 0), part(1, 1)]).await;
    assert!(matches!(outcomes[0], Outcome::Repeat { .. }), "{outcomes:?}");
    assert!(matches!(outcomes[1], Outcome::Ended { .. }), "{outcomes:?}");
    assert_eq!(log.upload(1, 1).await, upload);
}

pub async fn the_window_of_an_upload_restarts_with_each_part(log: &Log) {
    for index in 0..4_u8 {
        let now = at(i64::from(index) * (WINDOW - 1));
        appended(&log.publish_at(part(1, index.into()), now).await);
    }
    let probed = 4 * (WINDOW - 1);
    assert!(log.upload_at(1, 4, at(probed)).await.is_some());
    assert_eq!(log.upload_at(1, 4, at(probed + WINDOW + 1)).await, None);
}

pub async fn the_window_of_an_upload_restarts_with_each_repeat(log: &Log) {
    log.append_at((0..3).map(|index| part(1, index)).collect(), at(0)).await;
    for index in 0..3 {
        let now = at((i64::try_from(index).unwrap() + 1) * WINDOW / 2);
        let outcome = log.publish_at(part(1, index), now).await;
        assert!(matches!(outcome, Outcome::Repeat { .. }), "{outcome:?}");
    }
    let later = at(3 * WINDOW / 2 + WINDOW - 1);
    appended(&log.publish_at(part(1, 3), later).await);
    assert_eq!(contents(&log.all("a").await), ["a: 0", "a: 1", "a: 2", "a: 3"]);
}

pub async fn a_publish_without_entries_only_restarts_the_window_of_an_upload(log: &Log) {
    assert_eq!(log.publish_at(probe(1, 0), at(0)).await, Outcome::KeyReused, "no part is stored");
    assert_eq!(log.upload(1, 1).await, None);
    let (first, _) = appended(&log.publish_at(part(1, 0), at(0)).await);
    let outcome = log.publish_at(probe(1, 0), at(WINDOW - 1)).await;
    assert_eq!(outcome, Outcome::Repeat { first, last: first });
    assert_eq!(
        log.publish_at(probe(1, 1), at(WINDOW - 1)).await,
        Outcome::KeyReused,
        "it is missing"
    );
    appended(&log.publish_at(part(1, 1), at(2 * WINDOW - 2)).await);
    assert_eq!(contents(&log.all("a").await), ["a: 0", "a: 1"]);
}

pub async fn the_window_of_an_upload_does_not_restart_with_a_refused_part(log: &Log) {
    log.append_at((0..2).map(|index| part(1, index)).collect(), at(0)).await;
    assert_eq!(log.publish_at(part(2, 0), at(WINDOW - 1)).await, Outcome::KeyReused);
    assert_eq!(log.upload_at(1, 2, at(WINDOW + 1)).await, None);
}

pub async fn an_upload_that_began_again_is_compared_only_with_itself(log: &Log) {
    log.append_at((0..3).map(|index| part(1, index)).collect(), at(0)).await;
    let later = at(WINDOW + 1);
    log.append_at((0..2).map(|index| part(2, index)).collect(), later).await;
    let outcomes = log.append_at(vec![part(2, 0), part(2, 1), part(2, 2)], later).await;
    for outcome in &outcomes[..2] {
        assert!(matches!(outcome, Outcome::Repeat { .. }), "{outcomes:?}");
    }
    appended(&outcomes[2]);
    for index in 0..3 {
        assert_eq!(log.publish_at(part(1, index), later).await, Outcome::KeyReused, "part {index}");
    }
}

pub async fn a_forgotten_upload_begins_again_with_its_first_part(log: &Log) {
    log.append((0..2).map(|index| part(1, index)).collect()).await;
    let later = at(WINDOW + 1);
    assert_eq!(log.publish_at(part(1, 2), later).await, Outcome::KeyReused);
    let (first, _) = appended(&log.publish_at(part(2, 0), later).await);
    assert_eq!(log.upload_at(2, 1, later).await, Some((first, first)));
}
