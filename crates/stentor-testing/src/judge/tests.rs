//! Invented histories with faults, to test that each fault is detected.

mod finished;
mod trimmed;

use std::time::Duration;

use stentor_hub::{Check, Cursor, Epoch, Offset};
use tokio::time::Instant;

use super::{
    Atomicity, Content, Delete, EventKey, Fault, History, Index, Log, LoggedRecord, Observation,
    Observations, Outcome, Received, SentEvent, Write, check_log, check_reader,
};

/// An event id as the server would format it.
fn id(offset: u64) -> String {
    Cursor::event_id(Epoch::new(1), Offset::new(offset), Check::new(7)).to_string()
}

fn event_key(number: u64) -> EventKey {
    EventKey { publisher: 1, number }
}

/// A history in the making. Each write is sent and acknowledged one second after the previous one.
struct Scenario {
    now: Instant,
    history: History,
    log: Log,
    /// A later reading of the log, if there is one.
    newest: Option<Log>,
    /// The reader's filters.
    filters: &'static [&'static str],
    /// Time of the reader's first position.
    began: Instant,
    /// That position.
    start: u64,
    seen: Vec<Received>,
}

impl Scenario {
    /// Three acknowledged events, 1 and 2 of `a` and 3 of `b`, at offsets 10, 20 and 30. A reader of all topics has
    /// received them.
    fn three() -> Scenario {
        let now = Instant::now();
        let mut scenario = Scenario {
            now,
            history: History::default(),
            log: Log::default(),
            newest: None,
            filters: &["a", "*"],
            began: now,
            start: 0,
            seen: Vec::new(),
        };
        for (number, topic) in [(1, "a"), (2, "a"), (3, "b")] {
            scenario.write(&[(topic, number, Some(number * 10))], Atomicity::Atomic, true);
            scenario.log(number * 10, topic, Content::Event(event_key(number)));
            scenario.receive(number * 10, Content::Event(event_key(number)));
        }
        scenario
    }

    fn tick(&mut self) -> Instant {
        self.now += Duration::from_secs(1);
        self.now
    }

    fn write(
        &mut self,
        lines: &[(&str, u64, Option<u64>)],
        atomicity: Atomicity,
        is_acknowledged: bool,
    ) -> usize {
        let sent = self.tick();
        let outcome =
            if is_acknowledged { Outcome::Acknowledged(self.tick()) } else { Outcome::Unknown };
        let line = |(topic, number, offset): &(&str, u64, Option<u64>)| SentEvent {
            topic: (*topic).to_owned(),
            event_key: event_key(*number),
            id: offset.map(id),
        };
        let lines = lines.iter().map(line).collect();
        self.history.push(Write { atomicity, lines, end: None, end_id: None, sent, outcome })
    }

    fn delete(&mut self, topic: &str) {
        let delete = Delete { sent: self.tick(), acknowledged: Some(self.tick()) };
        self.history.deletes.entry(topic.to_owned()).or_default().push(delete);
    }

    fn log(&mut self, offset: u64, topic: &str, what: Content) {
        self.log.records.push(LoggedRecord::new(&id(offset), topic, what));
    }

    fn receive(&mut self, offset: u64, what: Content) {
        let at = self.tick();
        self.seen.push(Received {
            id: id(offset),
            offset,
            at,
            what: Observation::Record(what, None),
        });
    }

    fn gap(&mut self, reason: &str, requested: u64, topics: &[&str]) {
        let topics = topics.iter().map(ToString::to_string).collect();
        let what =
            Observation::Gap { reason: reason.to_owned(), requested: Some(requested), topics };
        let at = self.tick();
        self.seen.push(Received { id: id(requested), offset: requested, at, what });
    }

    #[track_caller]
    fn expect_log(&self, faults: &[Fault]) {
        let violations = check_log(&self.history, &self.log);
        let found: Vec<Fault> = violations.iter().map(|violation| violation.fault).collect();
        assert_eq!(found, faults, "{violations:?}");
    }

    /// `is_finished`: it gets a 204 to a request that it sends now.
    #[track_caller]
    fn expect_reader(&self, is_finished: bool, faults: &[Fault]) {
        let observations = Observations {
            name: "reader".to_owned(),
            filters: self.filters.iter().map(ToString::to_string).collect(),
            began: self.began,
            start: Some(self.start),
            seen: self.seen.clone(),
            finished: is_finished.then_some(self.now),
            reconnects: 0,
        };
        let mut index = Index::new(&self.history, &self.log);
        self.newest.iter().for_each(|newest| index.read_again(newest));
        let violations = check_reader(&index, &observations);
        let found: Vec<Fault> = violations.iter().map(|violation| violation.fault).collect();
        assert_eq!(found, faults, "{violations:?}");
    }
}

#[test]
fn a_correct_log_has_no_violations() {
    let mut scenario = Scenario::three();
    scenario.expect_log(&[]);
    scenario.expect_reader(false, &[]);
    // The log may or may not have an event without a response.
    scenario.write(&[("a", 4, None)], Atomicity::Atomic, false);
    scenario.expect_log(&[]);
    scenario.log(40, "a", Content::Event(event_key(4)));
    scenario.receive(40, Content::Event(event_key(4)));
    scenario.expect_log(&[]);
    scenario.expect_reader(false, &[]);
}

#[test]
fn a_lost_event_is_detected() {
    let mut scenario = Scenario::three();
    scenario.log.records.remove(1);
    scenario.expect_log(&[Fault::Lost]);
}

#[test]
fn an_earlier_log_is_checked_by_what_was_known_then() {
    let mut scenario = Scenario::three();
    let cut = scenario.now;
    scenario.write(&[("a", 4, Some(40))], Atomicity::Atomic, true);
    scenario.expect_log(&[Fault::Lost]);
    scenario.history = scenario.history.at(cut);
    scenario.expect_log(&[]);
    scenario.log.records.pop();
    scenario.expect_log(&[Fault::Lost]);
}

#[test]
fn a_duplicate_is_detected() {
    let mut scenario = Scenario::three();
    scenario.log(40, "a", Content::Event(event_key(2)));
    scenario.receive(40, Content::Event(event_key(2)));
    scenario.expect_log(&[Fault::Duplicated, Fault::WrongId]);
    scenario.expect_reader(false, &[Fault::Duplicated]);
}

#[test]
fn reordered_events_are_detected() {
    let mut scenario = Scenario::three();
    for (at, number) in [(0, 2), (1, 1)] {
        scenario.log.records[at].what = Content::Event(event_key(number));
        scenario.history.writes[at].lines[0].id = None;
    }
    scenario.expect_log(&[Fault::Reordered]);
}

#[test]
fn reordered_events_of_an_upload_are_detected() {
    let mut scenario = Scenario::three();
    scenario.write(&[("a", 4, None), ("a", 5, None)], Atomicity::Prefix, true);
    scenario.log(40, "a", Content::Event(event_key(5)));
    scenario.log(50, "a", Content::Event(event_key(4)));
    scenario.expect_log(&[Fault::Reordered]);
}

#[test]
fn a_torn_batch_is_detected() {
    let mut scenario = Scenario::three();
    scenario.write(&[("a", 4, None), ("b", 5, None)], Atomicity::Atomic, false);
    scenario.expect_log(&[]);
    scenario.log(40, "b", Content::Event(event_key(5)));
    scenario.expect_log(&[Fault::Torn]);
    scenario.delete("a");
    // `a` was deleted: the missing part of the batch is correct now, and events 1 and 2 should be gone.
    scenario.expect_log(&[Fault::Phantom, Fault::Phantom]);
}

#[test]
fn an_event_without_its_end_is_detected() {
    let mut scenario = Scenario::three();
    let sent = scenario.tick();
    let lines = vec![SentEvent { topic: "a".to_owned(), event_key: event_key(4), id: None }];
    let end = Some(("a".to_owned(), "done".to_owned()));
    let outcome = Outcome::Unknown;
    scenario.history.push(Write {
        atomicity: Atomicity::Atomic,
        lines,
        end,
        end_id: None,
        sent,
        outcome,
    });
    scenario.log(40, "a", Content::Event(event_key(4)));
    scenario.expect_log(&[Fault::Torn]);
    scenario.log(41, "a", Content::End("done".to_owned()));
    scenario.expect_log(&[]);
    scenario.log(42, "a", Content::End("done".to_owned()));
    scenario.expect_log(&[Fault::Duplicated]);
}

#[test]
fn a_lost_end_is_detected() {
    let mut scenario = Scenario::three();
    let (sent, outcome) = (scenario.tick(), Outcome::Acknowledged(scenario.tick()));
    let (end, end_id) = (Some(("a".to_owned(), "done".to_owned())), Some(id(40)));
    scenario.history.push(Write {
        atomicity: Atomicity::Atomic,
        lines: Vec::new(),
        end,
        end_id,
        sent,
        outcome,
    });
    scenario.expect_log(&[Fault::Lost]);
    scenario.log(41, "a", Content::End("done".to_owned()));
    scenario.expect_log(&[Fault::Lost]);
    scenario.log.records.pop();
    scenario.log(40, "a", Content::End("done".to_owned()));
    scenario.expect_log(&[]);
    // It is not expected in a part of the log that starts after it.
    scenario.log.records.clear();
    (scenario.log.since, scenario.log.after) = (Some(sent), 40);
    scenario.expect_log(&[]);
}

#[test]
fn an_upload_with_a_hole_is_detected() {
    let mut scenario = Scenario::three();
    scenario.write(&[("a", 4, None), ("a", 5, None), ("a", 6, None)], Atomicity::Prefix, false);
    scenario.log(40, "a", Content::Event(event_key(4)));
    scenario.expect_log(&[]);
    scenario.log(60, "a", Content::Event(event_key(6)));
    scenario.expect_log(&[Fault::Torn]);
}

#[test]
fn a_refused_or_unknown_or_deleted_event_is_detected() {
    let mut scenario = Scenario::three();
    let write = scenario.write(&[("a", 4, None)], Atomicity::Atomic, false);
    scenario.history.writes[write].outcome = Outcome::Refused(scenario.now, 409);
    scenario.expect_log(&[]);
    scenario.log(40, "a", Content::Event(event_key(4)));
    scenario.log(50, "a", Content::Event(event_key(99)));
    scenario.expect_log(&[Fault::Phantom, Fault::Phantom]);
    let mut scenario = Scenario::three();
    scenario.delete("b");
    scenario.expect_log(&[Fault::Phantom]);
}

#[test]
fn an_unexpected_status_is_detected() {
    let mut scenario = Scenario::three();
    let write = scenario.write(&[("a", 4, None)], Atomicity::Atomic, false);
    scenario.history.writes[write].outcome = Outcome::Refused(scenario.now, 422);
    scenario.expect_log(&[Fault::UnexpectedStatus]);
}

#[test]
fn a_wrong_id_and_damaged_data_are_detected() {
    let mut scenario = Scenario::three();
    scenario.log.records[2] = LoggedRecord::new(&id(31), "b", Content::Event(event_key(3)));
    scenario.expect_log(&[Fault::WrongId]);
    let mut scenario = Scenario::three();
    assert_eq!(Content::of(&event_key(3).data(5)), Content::Event(event_key(3)));
    scenario.log.records[2].what = Content::of(&event_key(3).data(5)[..9]);
    scenario.expect_log(&[Fault::Damaged, Fault::Lost]);
}

#[test]
fn an_event_missed_by_a_reader_is_detected_despite_a_gap() {
    let mut scenario = Scenario::three();
    scenario.seen.remove(1);
    scenario.expect_reader(false, &[Fault::Lost]);
    scenario.gap("deleted", 10, &["a"]);
    scenario.expect_reader(false, &[Fault::FalseGap, Fault::Lost]);
}

#[test]
fn events_reordered_for_a_reader_are_detected() {
    let mut scenario = Scenario::three();
    scenario.seen.swap(0, 1);
    scenario.expect_reader(false, &[Fault::Reordered]);
}

#[test]
fn an_event_that_is_not_in_the_log_is_detected() {
    let mut scenario = Scenario::three();
    scenario.write(&[("a", 4, None)], Atomicity::Atomic, false);
    scenario.receive(40, Content::Event(event_key(4)));
    scenario.expect_reader(false, &[Fault::Phantom]);
}

#[test]
fn a_false_gap_is_detected() {
    for reason in ["epoch", "future", "unreadable", "trimmed", "deleted"] {
        let mut scenario = Scenario::three();
        scenario.gap(reason, 30, &["a"]);
        scenario.expect_reader(false, &[Fault::FalseGap]);
    }
}

#[test]
fn a_gap_is_false_if_its_cursor_is_after_the_deletion() {
    let mut scenario = Scenario::three();
    scenario.delete("a");
    scenario.log.records.drain(..2);
    scenario.write(&[("a", 4, Some(40))], Atomicity::Atomic, true);
    scenario.log(40, "a", Content::Event(event_key(4)));
    scenario.gap("deleted", 30, &["a"]);
    scenario.receive(40, Content::Event(event_key(4)));
    scenario.expect_log(&[]);
    scenario.expect_reader(false, &[]);
    scenario.gap("deleted", 40, &["a"]);
    scenario.expect_reader(false, &[Fault::FalseGap]);
}

#[test]
fn a_removal_without_a_report_is_detected() {
    let mut scenario = Scenario::three();
    scenario.delete("a");
    scenario.log.records.drain(..2);
    scenario.seen.drain(..2);
    scenario.expect_reader(false, &[Fault::Lost, Fault::Lost]);
    // The reader had passed the events, but not the deletion.
    scenario.gap("deleted", 25, &["a"]);
    scenario.expect_reader(false, &[]);
}

#[test]
fn a_gap_after_the_deletion_does_not_report_it() {
    let mut scenario = Scenario::three();
    scenario.delete("a");
    scenario.log.records.drain(..2);
    scenario.seen.drain(..2);
    scenario.write(&[("b", 4, Some(40))], Atomicity::Atomic, true);
    scenario.log(40, "b", Content::Event(event_key(4)));
    scenario.receive(40, Content::Event(event_key(4)));
    scenario.gap("deleted", 40, &["a"]);
    scenario.expect_reader(false, &[Fault::FalseGap, Fault::Lost, Fault::Lost]);
}

#[test]
fn a_false_end_is_detected() {
    let mut scenario = Scenario::three();
    scenario.log(40, "a", Content::End("done".to_owned()));
    scenario.expect_log(&[Fault::FalseEnd]);
    scenario.expect_reader(true, &[Fault::FalseEnd]);
}
