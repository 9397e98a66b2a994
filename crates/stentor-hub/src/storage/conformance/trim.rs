//! Trims, and the gaps that readers get.

use super::Log;
use super::log::{contents, event, name, request, topic_names};
use crate::cursor::{Cursor, Offset};
use crate::storage::{Budget, ReadRequest, Removed, TopicState};

impl Log {
    /// Publishes events `0..count` to topic `a` and to `quiet`, in turn.
    async fn with_quiet_neighbour(&self, count: usize) -> Vec<Cursor> {
        let mut ids = Vec::new();
        for n in 0..count {
            ids.push(self.event("a", &n.to_string()).await);
            self.event("quiet", &n.to_string()).await;
        }
        ids
    }

    /// The topics in the reported gap; empty if there is no gap.
    async fn lost(&self, filters: &str, after: Offset, reported: u64) -> Vec<String> {
        let removed = self.gap_beyond(filters, after, reported).await;
        let mut names: Vec<String> =
            removed.iter().flat_map(|gap| &gap.topics).map(ToString::to_string).collect();
        names.sort_unstable();
        names
    }
}

pub async fn trimmed_records_are_no_longer_read(log: &Log) {
    let ids = log.with_quiet_neighbour(4).await;
    log.trim("a", ids[1]).await;
    assert_eq!(contents(&log.all("a").await), ["a: 2", "a: 3"]);
    let others = log.all("*").await;
    assert_eq!(others.len(), 6, "{others:?}");
    assert_eq!(contents(&log.all("quiet").await).len(), 4);
}

pub async fn trimmed_records_are_no_longer_counted(log: &Log) {
    log.event("a", "1").await;
    let second = log.event("a", "22").await;
    log.event("a", "4444").await;
    log.trim("a", second).await;
    let state = log.state("a").await;
    assert_eq!((state.events, state.bytes), (1, 4));
    assert_eq!(state.removed_through, second.offset);
}

pub async fn readers_before_a_trimmed_record_get_a_gap(log: &Log) {
    let ids = log.with_quiet_neighbour(4).await;
    log.trim("a", ids[2]).await;
    let removals = log.removals().await;
    for after in [Offset::ZERO, ids[0].offset, ids[1].offset, ids[2].offset.previous()] {
        for filter in ["a", "*", "quiet a", "none a **"] {
            let gap = log.gap(filter, after).await;
            let expected = Removed { deleted: false, topics: topic_names(&["a"]), removals };
            assert_eq!(gap, Some(expected), "{filter} after {after}");
        }
    }
}

pub async fn readers_past_the_last_trimmed_record_get_no_gap(log: &Log) {
    let ids = log.with_quiet_neighbour(4).await;
    // An offset between the second and the third event of the topic.
    let between = ids[2].offset.previous();
    assert!(between > ids[1].offset);
    log.storage.trim(vec![(name("a"), between)]).await.unwrap();
    assert_eq!(log.state("a").await.removed_through, ids[1].offset);
    for after in [ids[1].offset, between, ids[3].offset] {
        for filter in ["a", "*"] {
            assert_eq!(log.gap(filter, after).await, None);
        }
    }
}

pub async fn readers_of_a_quiet_topic_get_no_gap(log: &Log) {
    let ids = log.with_quiet_neighbour(6).await;
    log.trim("a", ids[3]).await;
    log.event("b", "1").await;
    log.delete("b").await;
    log.event("b", "2").await;
    for filter in ["quiet", "none", "none/*", "quiet/**", "quiet none"] {
        assert_eq!(log.gap(filter, Offset::ZERO).await, None, "{filter}");
    }
    assert_eq!(log.state("quiet").await.removed_through, Offset::ZERO);
}

pub async fn a_gap_is_reported_once(log: &Log) {
    let ids = log.with_quiet_neighbour(4).await;
    log.trim("a", ids[1]).await;
    for filter in ["a", "*"] {
        let gap = log.gap(filter, Offset::ZERO).await.unwrap();
        assert_eq!(log.gap_beyond(filter, Offset::ZERO, gap.removals).await, None);
        assert_eq!(log.gap_beyond(filter, ids[0], gap.removals).await, None);
    }
}

pub async fn a_reported_gap_is_reported_again_only_for_later_removals(log: &Log) {
    let ids = log.with_quiet_neighbour(4).await;
    log.event("b", "1").await;
    log.trim("a", ids[1]).await;
    let reported = log.gap("a b", Offset::ZERO).await.unwrap().removals;
    let last_of_b = log.event("b", "2").await;
    assert_eq!(log.gap_beyond("a b", Offset::ZERO, reported).await, None, "nothing was removed");
    log.trim("b", last_of_b).await;
    for filter in ["a b", "*"] {
        assert_eq!(log.lost(filter, Offset::ZERO, reported).await, ["b"]);
    }
    assert_eq!(log.gap_beyond("a", Offset::ZERO, reported).await, None);
    log.trim("a", ids[2]).await;
    assert_eq!(log.lost("a", Offset::ZERO, reported).await, ["a"]);
    assert_eq!(log.lost("*", Offset::ZERO, reported).await, ["a", "b"]);
}

pub async fn a_gap_names_every_topic_that_lost_records(log: &Log) {
    for topic in ["a", "b", "c", "d"] {
        let first = log.event(topic, "1").await;
        log.event(topic, "2").await;
        if topic != "c" {
            log.trim(topic, first).await;
        }
    }
    assert_eq!(log.lost("*", Offset::ZERO, 0).await, ["a", "b", "d"]);
    assert_eq!(log.lost("c d a", Offset::ZERO, 0).await, ["a", "d"]);
}

pub async fn a_gap_names_at_most_32_topics(log: &Log) {
    let names: Vec<String> = (0..40).map(|n| format!("t{n}")).collect();
    for name in &names {
        let id = log.event(name, "1").await;
        log.trim(name, id).await;
    }
    for filter in ["*", &names.join(" ")] {
        let gap = log.gap(filter, Offset::ZERO).await.unwrap();
        assert_eq!(gap.topics.len(), Removed::TOPICS_MAX);
        assert_eq!(log.gap_beyond(filter, Offset::ZERO, gap.removals).await, None);
    }
}

pub async fn a_page_reports_up_to_which_removal_its_losses_are_complete(log: &Log) {
    let ids = log.with_quiet_neighbour(4).await;
    log.trim("a", ids[1]).await;
    let removals = log.removals().await;
    for filter in ["quiet", "quiet/* none", "a", "*"] {
        let page = log.read(request(filter, Offset::ZERO)).await;
        assert_eq!(page.removals, removals, "{filter}");
    }
    log.trim("a", ids[2]).await;
    assert!(log.gap_beyond("a", Offset::ZERO, removals).await.is_some());
}

pub async fn a_reader_beside_trims_misses_no_loss(log: &Log) {
    let topics: Vec<String> = (0..30).map(|n| format!("x/{n}")).collect();
    let mut events = Vec::new();
    for data in ["1", "2"] {
        for topic in &topics {
            events.push((topic, log.event(topic, data).await));
        }
    }
    let trims = async {
        // Topics before and after the ones that a search has reached.
        for at in [0, 29, 15, 3, 27, 9, 21, 1, 28, 14] {
            let (topic, first) = events[at];
            log.trim(topic, first).await;
            let (topic, last) = events[at + 30];
            log.trim(topic, last).await;
        }
    };
    let reads = async {
        let (mut read, mut lost) = (Vec::new(), Vec::new());
        let budget = Budget { records: 7, ..Budget::default() };
        let mut ask = ReadRequest { budget, ..request("x/* */y", Offset::ZERO) };
        while ask.after < log.storage.bounds().tail {
            let page = log.read(ask.clone()).await;
            read.extend(page.records.iter().map(|record| record.offset()));
            lost.extend(page.removed.into_iter().flat_map(|removed| removed.topics));
            let losses_reported = ask.losses_reported.max(page.removals);
            ask = ReadRequest { after: page.through, losses_reported, ..ask };
        }
        (read, lost)
    };
    let ((), (read, lost)) = futures_util::future::join(trims, reads).await;
    for (topic, id) in events {
        let is_known = read.contains(&id.offset) || lost.contains(&name(topic));
        assert!(is_known, "{topic} at {} was neither read nor reported as lost", id.offset);
    }
}

pub async fn a_trim_that_removes_nothing_is_not_counted(log: &Log) {
    let first = log.event("quiet", "1").await;
    let second = log.event("a", "1").await;
    log.event("a", "2").await;
    log.trim("a", first).await;
    log.trim("none", second).await;
    assert_eq!(log.gap("*", Offset::ZERO).await, None);
    assert_eq!(log.state("none").await, TopicState::default());
    assert_eq!(log.state("a").await.removed_through, Offset::ZERO);
    log.trim("a", second).await;
    let reported = log.gap("a", Offset::ZERO).await.unwrap().removals;
    log.trim("a", second).await;
    log.trim("a", first).await;
    assert_eq!(log.gap_beyond("a", Offset::ZERO, reported).await, None);
    assert_eq!(log.state("a").await.removed_through, second.offset);
}

pub async fn a_trim_beyond_the_tail_does_not_remove_later_records(log: &Log) {
    let last = log.event("a", "1").await;
    log.storage.trim(vec![(name("a"), Offset::MAX)]).await.unwrap();
    assert_eq!(log.state("a").await.removed_through, last.offset);
    log.event("a", "2").await;
    assert_eq!(contents(&log.all("a").await), ["a: 2"]);
    assert_eq!(log.gap("a", last).await, None);
}

pub async fn the_end_stays_while_trim_does_not_reach_it(log: &Log) {
    log.event("a", "1").await;
    let last_event = log.event("a", "2").await;
    log.event("b", "between").await;
    let end = log.end("a").await;
    log.storage.trim(vec![(name("a"), end.offset.previous())]).await.unwrap();
    let state = log.state("a").await;
    assert_eq!((state.events, state.bytes), (0, 0));
    assert_eq!(state.end.map(|end| end.cursor()), Some(end));
    assert_eq!(state.removed_through, last_event.offset);
    assert_eq!(contents(&log.all("a").await), ["a ends: done"]);
}

pub async fn the_end_is_removed_with_its_whole_topic(log: &Log) {
    log.event("a", "1").await;
    let end = log.end("a").await;
    log.trim("a", end).await;
    let state = log.state("a").await;
    assert_eq!(state, TopicState { removed_through: end.offset, ..TopicState::default() });
    assert_eq!(contents(&log.all("a").await), [""; 0]);
    assert!(log.gap("a", end.offset.previous()).await.is_some());
    assert_eq!(log.gap("a", end).await, None);
}

pub async fn a_wholly_trimmed_topic_that_is_used_again_has_new_counts(log: &Log) {
    log.event("a", "1234").await;
    let end = log.end("a").await;
    log.trim("a", end).await;
    assert_eq!(log.storage.delete(name("a"), super::log::at(0)).await, Ok(None));
    super::log::appended(&log.publish(event("a", "12")).await);
    let state = log.state("a").await;
    assert_eq!((state.events, state.bytes, state.end), (1, 2, None));
    assert_eq!(state.removed_through, end.offset);
    assert_eq!(contents(&log.all("a").await), ["a: 12"]);
    assert!(log.gap("a", Offset::ZERO).await.is_some());
}
