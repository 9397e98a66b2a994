//! Invented histories of logs that lose their oldest events.

use std::time::Duration;

use super::{Scenario, event_key, id};
use crate::judge::{Atomicity, Content, Fault, History, Log, Outcome, Trimmed, Write};

/// Events 1 to 5 of `a` at offsets 10 to 50. Retention keeps at least 2 of them.
fn five_trimmed() -> Scenario {
    let mut scenario = Scenario::three();
    scenario.history =
        History { trimmed: Some(Trimmed { prefix: "a", kept: 2 }), ..History::default() };
    (scenario.log, scenario.seen) = (Log::default(), Vec::new());
    for number in 1..=5 {
        scenario.write(&[("a", number, Some(number * 10))], Atomicity::Atomic, true);
        scenario.log(number * 10, "a", Content::Event(event_key(number)));
        scenario.receive(number * 10, Content::Event(event_key(number)));
    }
    scenario
}

#[test]
fn only_the_oldest_of_a_trimmed_topic_may_be_missing() {
    let mut scenario = five_trimmed();
    scenario.log.records.drain(..3);
    scenario.expect_log(&[]);
    scenario.log.records.remove(0);
    scenario.expect_log(&[]);
    scenario.log.is_final = true;
    scenario.expect_log(&[Fault::Lost; 4]);
    let mut scenario = five_trimmed();
    scenario.log.records.remove(2);
    scenario.expect_log(&[Fault::Lost]);
    scenario.history.writes[2].lines[0].id = None;
    scenario.expect_log(&[Fault::Lost]);
    scenario.log.records.drain(..2);
    scenario.expect_log(&[]);
    scenario.log.trimmed.push("b".to_owned());
    scenario.expect_log(&[Fault::FalseGap]);
}

#[test]
fn a_trim_before_delivery_is_reported() {
    let mut scenario = five_trimmed();
    scenario.log.records.drain(..3);
    scenario.expect_reader(false, &[]);
    scenario.seen.remove(1);
    scenario.expect_reader(false, &[Fault::Lost]);
    // Nothing was removed after this offset, so the gap is false.
    scenario.gap("trimmed", 30, &["a"]);
    scenario.expect_reader(false, &[Fault::FalseGap, Fault::Lost]);
    scenario.seen.pop();
    scenario.gap("trimmed", 10, &["a"]);
    scenario.expect_reader(false, &[]);
    scenario.gap("trimmed", 10, &["b"]);
    scenario.expect_reader(false, &[Fault::FalseGap]);
    scenario.seen.pop();
    scenario.gap("deleted", 10, &["a"]);
    scenario.expect_reader(false, &[Fault::FalseGap]);
}

/// Events 1 to 5 at offsets 10 to 50 of a log with a size limit, of two topics in turn, followed by a batch.
fn bounded() -> Scenario {
    let mut scenario = Scenario::three();
    scenario.history = History { is_bounded: true, ..History::default() };
    (scenario.log, scenario.seen) = (Log { is_bounded: true, ..Log::default() }, Vec::new());
    for number in 1..=5 {
        let topic = ["a", "b"][usize::try_from(number % 2).unwrap()];
        scenario.write(&[(topic, number, Some(number * 10))], Atomicity::Atomic, true);
        scenario.log(number * 10, topic, Content::Event(event_key(number)));
        scenario.receive(number * 10, Content::Event(event_key(number)));
    }
    scenario.write(
        &[("a", 6, Some(60)), ("b", 7, None), ("a", 8, Some(62))],
        Atomicity::Atomic,
        true,
    );
    for (offset, topic, number) in [(60, "a", 6), (61, "b", 7), (62, "a", 8)] {
        scenario.log(offset, topic, Content::Event(event_key(number)));
        scenario.receive(offset, Content::Event(event_key(number)));
    }
    scenario
}

#[test]
fn only_the_oldest_of_a_log_with_a_size_limit_may_be_missing() {
    for gone in 0..=8 {
        let mut scenario = bounded();
        scenario.log.records.drain(..gone);
        scenario.expect_log(&[]);
        scenario.expect_reader(false, &[]);
    }
    for gone in 1..8 {
        let mut scenario = bounded();
        scenario.log.records.remove(gone);
        scenario.expect_log(&[Fault::Lost]);
    }
}

#[test]
fn a_size_limit_removes_only_the_first_events_of_a_batch() {
    let mut scenario = bounded();
    scenario.history.writes[5].outcome = Outcome::Unknown;
    scenario.history.writes[5].lines.iter_mut().for_each(|line| line.id = None);
    scenario.expect_log(&[]);
    let whole = scenario.log.records.clone();
    scenario.log.records.remove(5);
    scenario.expect_log(&[Fault::Torn]);
    scenario.log.records = whole;
    scenario.log.records.drain(..6);
    scenario.expect_log(&[]);
}

#[test]
fn a_part_of_a_log_with_a_size_limit_is_complete_unless_a_gap_was_reported() {
    let mut scenario = bounded();
    scenario.log.since = Some(scenario.history.writes[1].sent);
    scenario.log.records.drain(..1);
    scenario.expect_log(&[]);
    scenario.log.records.drain(..1);
    scenario.expect_log(&[Fault::Lost]);
    scenario.log.trimmed.push("a".to_owned());
    scenario.expect_log(&[]);
}

#[test]
fn a_removal_by_the_size_limit_is_reported_and_nothing_else() {
    let mut scenario = bounded();
    scenario.log.records.drain(..3);
    scenario.seen.drain(1..3);
    scenario.expect_reader(false, &[Fault::Lost, Fault::Lost]);
    scenario.gap("trimmed", 10, &["a"]);
    scenario.expect_reader(false, &[Fault::Lost]);
    scenario.gap("trimmed", 10, &["a", "b"]);
    scenario.expect_reader(false, &[]);
    // Nothing of this topic had been removed before the reader passed offset 30.
    scenario.gap("trimmed", 30, &["b"]);
    scenario.expect_reader(false, &[Fault::FalseGap]);
    let mut scenario = bounded();
    scenario.gap("trimmed", 10, &["a"]);
    scenario.expect_reader(false, &[Fault::FalseGap]);
}

#[test]
fn a_record_trimmed_after_the_log_was_read_is_lost_only_to_a_reader_that_began_before() {
    let mut scenario = bounded();
    let mut newest = scenario.log.clone();
    newest.records.drain(..2);
    scenario.seen.drain(..2);
    scenario.expect_reader(false, &[Fault::Lost, Fault::Lost]);
    scenario.newest = Some(newest);
    // It had a position before event 2 was sent.
    scenario.began = scenario.history.writes[0].sent + Duration::from_millis(500);
    scenario.expect_reader(false, &[Fault::Lost, Fault::Lost]);
    scenario.gap("trimmed", 10, &["a"]);
    scenario.expect_reader(false, &[]);
    scenario.seen.pop();
    scenario.began = scenario.now;
    scenario.expect_reader(false, &[]);
    // Event 3 is left.
    scenario.seen.remove(0);
    scenario.expect_reader(false, &[Fault::Lost]);
}

#[test]
fn a_repeated_end_may_be_trimmed_like_the_first_one() {
    let mut scenario = bounded();
    let (sent, outcome) = (scenario.tick(), Outcome::Acknowledged(scenario.tick()));
    scenario.history.push(Write {
        atomicity: Atomicity::Atomic,
        lines: Vec::new(),
        end: Some(("b".to_owned(), "done".to_owned())),
        end_id: Some(id(15)),
        sent,
        outcome,
    });
    scenario.log.records.drain(..2);
    scenario.expect_log(&[]);
}
