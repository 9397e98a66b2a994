//! Histories made up to be wrong, so that it is known that each fault is found.

mod trimmed;

use std::time::Duration;

use stentor_hub::{Check, Cursor, Epoch, Offset};
use tokio::time::Instant;

use super::{Facts, Fault, judge_diary, judge_log};
use crate::kills::diary::{Diary, Seen, Told};
use crate::kills::ledger::{Delete, Ledger, Line, Outcome, Token, Way, Write};
use crate::kills::log::{Log, Logged, What};

/// A receipt as the server would spell it.
fn id(offset: u64) -> String {
    Cursor::event_id(Epoch::new(1), Offset::new(offset), Check::new(7)).to_string()
}

fn token(number: u64) -> Token {
    Token { publisher: 1, number }
}

/// A history under way: each write is sent and answered a second after the one before.
struct Cook {
    now: Instant,
    ledger: Ledger,
    log: Log,
    seen: Vec<Seen>,
}

impl Cook {
    /// Three acknowledged events, 1 and 2 of `a` and 3 of `b`, at offsets 10, 20 and 30, which a reader
    /// of everything has seen.
    fn three() -> Cook {
        let mut cook = Cook {
            now: Instant::now(),
            ledger: Ledger::default(),
            log: Log::default(),
            seen: Vec::new(),
        };
        for (number, topic) in [(1, "a"), (2, "a"), (3, "b")] {
            cook.write(&[(topic, number, Some(number * 10))], Way::Whole, true);
            cook.log(number * 10, topic, What::Event(token(number)));
            cook.see(number * 10, What::Event(token(number)));
        }
        cook
    }

    fn tick(&mut self) -> Instant {
        self.now += Duration::from_secs(1);
        self.now
    }

    fn write(&mut self, lines: &[(&str, u64, Option<u64>)], way: Way, is_known: bool) -> usize {
        let sent = self.tick();
        let outcome = if is_known { Outcome::Acknowledged(self.tick()) } else { Outcome::Unknown };
        let line = |(topic, number, offset): &(&str, u64, Option<u64>)| Line {
            topic: (*topic).to_owned(),
            token: token(*number),
            id: offset.map(id),
        };
        let lines = lines.iter().map(line).collect();
        self.ledger.push(Write { way, lines, end: None, end_id: None, sent, outcome })
    }

    fn delete(&mut self, topic: &str) {
        let delete = Delete { sent: self.tick(), acknowledged: Some(self.tick()) };
        self.ledger.deletes.entry(topic.to_owned()).or_default().push(delete);
    }

    fn log(&mut self, offset: u64, topic: &str, what: What) {
        self.log.records.push(Logged::new(&id(offset), topic, what));
    }

    fn see(&mut self, offset: u64, what: What) {
        let at = self.tick();
        self.seen.push(Seen { id: id(offset), offset, at, what: Told::Record(what, None) });
    }

    fn gap(&mut self, reason: &str, requested: u64, topics: &[&str]) {
        let topics = topics.iter().map(ToString::to_string).collect();
        let what = Told::Gap { reason: reason.to_owned(), requested: Some(requested), topics };
        let at = self.tick();
        self.seen.push(Seen { id: id(requested), offset: requested, at, what });
    }

    #[track_caller]
    fn log_is(&self, faults: &[Fault]) {
        let findings = judge_log(&self.ledger, &self.log);
        let found: Vec<Fault> = findings.iter().map(|finding| finding.fault).collect();
        assert_eq!(found, faults, "{findings:?}");
    }

    #[track_caller]
    fn reader_is(&self, is_finished: bool, faults: &[Fault]) {
        let diary = Diary {
            name: "reader".to_owned(),
            filters: vec!["a".to_owned(), "*".to_owned()],
            began: self.now - Duration::from_hours(1),
            start: Some(0),
            seen: self.seen.clone(),
            is_finished,
            reconnects: 0,
        };
        let findings = judge_diary(&Facts::new(&self.ledger, &self.log), &diary);
        let found: Vec<Fault> = findings.iter().map(|finding| finding.fault).collect();
        assert_eq!(found, faults, "{findings:?}");
    }
}

#[test]
fn what_is_as_it_was_acknowledged_is_in_order() {
    let mut cook = Cook::three();
    cook.log_is(&[]);
    cook.reader_is(false, &[]);
    // An event without an answer may be there or not.
    cook.write(&[("a", 4, None)], Way::Whole, false);
    cook.log_is(&[]);
    cook.log(40, "a", What::Event(token(4)));
    cook.see(40, What::Event(token(4)));
    cook.log_is(&[]);
    cook.reader_is(false, &[]);
}

#[test]
fn a_lost_event_is_found() {
    let mut cook = Cook::three();
    cook.log.records.remove(1);
    cook.log_is(&[Fault::Lost]);
}

#[test]
fn what_was_known_later_is_not_held_against_an_earlier_log() {
    let mut cook = Cook::three();
    let cut = cook.now;
    cook.write(&[("a", 4, Some(40))], Way::Whole, true);
    cook.log_is(&[Fault::Lost]);
    cook.ledger = cook.ledger.at(cut);
    cook.log_is(&[]);
    cook.log.records.pop();
    cook.log_is(&[Fault::Lost]);
}

#[test]
fn a_doubled_event_is_found() {
    let mut cook = Cook::three();
    cook.log(40, "a", What::Event(token(2)));
    cook.see(40, What::Event(token(2)));
    cook.log_is(&[Fault::Doubled, Fault::Renamed]);
    cook.reader_is(false, &[Fault::Doubled]);
}

#[test]
fn events_in_another_order_are_found() {
    let mut cook = Cook::three();
    for (at, number) in [(0, 2), (1, 1)] {
        cook.log.records[at].what = What::Event(token(number));
        cook.ledger.writes[at].lines[0].id = None;
    }
    cook.log_is(&[Fault::Reordered]);
}

#[test]
fn lines_of_an_upload_in_another_order_are_found() {
    let mut cook = Cook::three();
    cook.write(&[("a", 4, None), ("a", 5, None)], Way::Upload, true);
    cook.log(40, "a", What::Event(token(5)));
    cook.log(50, "a", What::Event(token(4)));
    cook.log_is(&[Fault::Reordered]);
}

#[test]
fn a_torn_batch_is_found() {
    let mut cook = Cook::three();
    cook.write(&[("a", 4, None), ("b", 5, None)], Way::Whole, false);
    cook.log_is(&[]);
    cook.log(40, "b", What::Event(token(5)));
    cook.log_is(&[Fault::Torn]);
    cook.delete("a");
    // Of a deleted topic its part is gone, and so are 1 and 2, which are there.
    cook.log_is(&[Fault::Phantom, Fault::Phantom]);
}

#[test]
fn an_event_without_the_end_that_came_with_it_is_found() {
    let mut cook = Cook::three();
    let sent = cook.tick();
    let lines = vec![Line { topic: "a".to_owned(), token: token(4), id: None }];
    let end = Some(("a".to_owned(), "done".to_owned()));
    let outcome = Outcome::Unknown;
    cook.ledger.push(Write { way: Way::Whole, lines, end, end_id: None, sent, outcome });
    cook.log(40, "a", What::Event(token(4)));
    cook.log_is(&[Fault::Torn]);
    cook.log(41, "a", What::End("done".to_owned()));
    cook.log_is(&[]);
    cook.log(42, "a", What::End("done".to_owned()));
    cook.log_is(&[Fault::Doubled]);
}

#[test]
fn an_end_that_was_acknowledged_and_is_not_there_is_found() {
    let mut cook = Cook::three();
    let (sent, outcome) = (cook.tick(), Outcome::Acknowledged(cook.tick()));
    let (end, end_id) = (Some(("a".to_owned(), "done".to_owned())), Some(id(40)));
    cook.ledger.push(Write { way: Way::Whole, lines: Vec::new(), end, end_id, sent, outcome });
    cook.log_is(&[Fault::Lost]);
    cook.log(41, "a", What::End("done".to_owned()));
    cook.log_is(&[Fault::Lost]);
    cook.log.records.pop();
    cook.log(40, "a", What::End("done".to_owned()));
    cook.log_is(&[]);
    // In a part of the log that begins behind it, it is not looked for.
    cook.log.records.clear();
    (cook.log.since, cook.log.after) = (Some(sent), 40);
    cook.log_is(&[]);
}

#[test]
fn an_upload_with_a_hole_is_found() {
    let mut cook = Cook::three();
    cook.write(&[("a", 4, None), ("a", 5, None), ("a", 6, None)], Way::Upload, false);
    cook.log(40, "a", What::Event(token(4)));
    cook.log_is(&[]);
    cook.log(60, "a", What::Event(token(6)));
    cook.log_is(&[Fault::Torn]);
}

#[test]
fn an_event_that_was_refused_or_never_sent_or_deleted_is_found() {
    let mut cook = Cook::three();
    let write = cook.write(&[("a", 4, None)], Way::Whole, false);
    cook.ledger.writes[write].outcome = Outcome::Refused(cook.now, 409);
    cook.log_is(&[]);
    cook.log(40, "a", What::Event(token(4)));
    cook.log(50, "a", What::Event(token(99)));
    cook.log_is(&[Fault::Phantom, Fault::Phantom]);
    let mut cook = Cook::three();
    cook.delete("b");
    cook.log_is(&[Fault::Phantom]);
}

#[test]
fn an_answer_that_nobody_should_get_is_found() {
    let mut cook = Cook::three();
    let write = cook.write(&[("a", 4, None)], Way::Whole, false);
    cook.ledger.writes[write].outcome = Outcome::Refused(cook.now, 422);
    cook.log_is(&[Fault::Strange]);
}

#[test]
fn another_id_and_damaged_data_are_found() {
    let mut cook = Cook::three();
    cook.log.records[2] = Logged::new(&id(31), "b", What::Event(token(3)));
    cook.log_is(&[Fault::Renamed]);
    let mut cook = Cook::three();
    assert_eq!(What::of(&token(3).data(5)), What::Event(token(3)));
    cook.log.records[2].what = What::of(&token(3).data(5)[..9]);
    cook.log_is(&[Fault::Damaged, Fault::Lost]);
}

#[test]
fn a_reader_that_missed_an_event_is_found_whatever_it_was_told() {
    let mut cook = Cook::three();
    cook.seen.remove(1);
    cook.reader_is(false, &[Fault::Lost]);
    cook.gap("deleted", 10, &["a"]);
    cook.reader_is(false, &[Fault::FalseGap, Fault::Lost]);
}

#[test]
fn a_reader_with_events_in_another_order_is_found() {
    let mut cook = Cook::three();
    cook.seen.swap(0, 1);
    cook.reader_is(false, &[Fault::Reordered]);
}

#[test]
fn a_reader_of_an_event_that_is_not_in_the_log_is_found() {
    let mut cook = Cook::three();
    cook.write(&[("a", 4, None)], Way::Whole, false);
    cook.see(40, What::Event(token(4)));
    cook.reader_is(false, &[Fault::Phantom]);
}

#[test]
fn a_false_gap_is_found() {
    for reason in ["epoch", "future", "unreadable", "trimmed", "deleted"] {
        let mut cook = Cook::three();
        cook.gap(reason, 30, &["a"]);
        cook.reader_is(false, &[Fault::FalseGap]);
    }
}

#[test]
fn a_gap_is_false_once_its_cursor_is_behind_the_deletion() {
    let mut cook = Cook::three();
    cook.delete("a");
    cook.log.records.drain(..2);
    cook.write(&[("a", 4, Some(40))], Way::Whole, true);
    cook.log(40, "a", What::Event(token(4)));
    cook.gap("deleted", 30, &["a"]);
    cook.see(40, What::Event(token(4)));
    cook.log_is(&[]);
    cook.reader_is(false, &[]);
    cook.gap("deleted", 40, &["a"]);
    cook.reader_is(false, &[Fault::FalseGap]);
}

#[test]
fn what_was_removed_in_silence_is_found() {
    let mut cook = Cook::three();
    cook.delete("a");
    cook.log.records.drain(..2);
    cook.seen.drain(..2);
    cook.reader_is(false, &[Fault::Lost, Fault::Lost]);
    // It had gone past them, but not past the deletion.
    cook.gap("deleted", 25, &["a"]);
    cook.reader_is(false, &[]);
}

#[test]
fn a_gap_behind_the_deletion_does_not_tell_of_it() {
    let mut cook = Cook::three();
    cook.delete("a");
    cook.log.records.drain(..2);
    cook.seen.drain(..2);
    cook.write(&[("b", 4, Some(40))], Way::Whole, true);
    cook.log(40, "b", What::Event(token(4)));
    cook.see(40, What::Event(token(4)));
    cook.gap("deleted", 40, &["a"]);
    cook.reader_is(false, &[Fault::FalseGap, Fault::Lost, Fault::Lost]);
}

#[test]
fn a_false_end_is_found() {
    let mut cook = Cook::three();
    cook.log(40, "a", What::End("done".to_owned()));
    cook.log_is(&[Fault::FalseEnd]);
    cook.reader_is(true, &[Fault::FalseEnd]);
}
