//! Histories of logs that lose their oldest events, made up as the others.

use super::{Cook, token};
use crate::kills::ledger::{Ledger, Outcome, Trimmed, Way};
use crate::kills::log::{Log, What};
use crate::kills::verdict::Fault;

/// Events 1 to 5 of `a` at offsets 10 to 50, of which retention leaves 2 at least.
fn five_trimmed() -> Cook {
    let mut cook = Cook::three();
    cook.ledger = Ledger { trimmed: Some(Trimmed { prefix: "a", kept: 2 }), ..Ledger::default() };
    (cook.log, cook.seen) = (Log::default(), Vec::new());
    for number in 1..=5 {
        cook.write(&[("a", number, Some(number * 10))], Way::Whole, true);
        cook.log(number * 10, "a", What::Event(token(number)));
        cook.see(number * 10, What::Event(token(number)));
    }
    cook
}

#[test]
fn the_oldest_of_a_trimmed_topic_may_be_gone_and_nothing_else() {
    let mut cook = five_trimmed();
    cook.log.records.drain(..3);
    cook.log_is(&[]);
    cook.log.records.remove(0);
    cook.log_is(&[]);
    cook.log.is_final = true;
    cook.log_is(&[Fault::Lost; 4]);
    let mut cook = five_trimmed();
    cook.log.records.remove(2);
    cook.log_is(&[Fault::Lost]);
    cook.ledger.writes[2].lines[0].id = None;
    cook.log_is(&[Fault::Lost]);
    cook.log.records.drain(..2);
    cook.log_is(&[]);
    cook.log.trimmed.push("b".to_owned());
    cook.log_is(&[Fault::FalseGap]);
}

#[test]
fn what_was_trimmed_before_it_came_is_told() {
    let mut cook = five_trimmed();
    cook.log.records.drain(..3);
    cook.reader_is(false, &[]);
    cook.seen.remove(1);
    cook.reader_is(false, &[Fault::Lost]);
    // Behind this nothing went, so it tells of nothing.
    cook.gap("trimmed", 30, &["a"]);
    cook.reader_is(false, &[Fault::FalseGap, Fault::Lost]);
    cook.seen.pop();
    cook.gap("trimmed", 10, &["a"]);
    cook.reader_is(false, &[]);
    cook.gap("trimmed", 10, &["b"]);
    cook.reader_is(false, &[Fault::FalseGap]);
    cook.seen.pop();
    cook.gap("deleted", 10, &["a"]);
    cook.reader_is(false, &[Fault::FalseGap]);
}

/// Events 1 to 5 at offsets 10 to 50 of a log with a bound, of two topics in turn, and then a batch.
fn bounded() -> Cook {
    let mut cook = Cook::three();
    cook.ledger = Ledger { is_bounded: true, ..Ledger::default() };
    (cook.log, cook.seen) = (Log { is_bounded: true, ..Log::default() }, Vec::new());
    for number in 1..=5 {
        let topic = ["a", "b"][usize::try_from(number % 2).unwrap()];
        cook.write(&[(topic, number, Some(number * 10))], Way::Whole, true);
        cook.log(number * 10, topic, What::Event(token(number)));
        cook.see(number * 10, What::Event(token(number)));
    }
    cook.write(&[("a", 6, Some(60)), ("b", 7, None), ("a", 8, Some(62))], Way::Whole, true);
    for (offset, topic, number) in [(60, "a", 6), (61, "b", 7), (62, "a", 8)] {
        cook.log(offset, topic, What::Event(token(number)));
        cook.see(offset, What::Event(token(number)));
    }
    cook
}

#[test]
fn the_oldest_of_a_log_with_a_bound_may_be_gone_and_nothing_behind_them() {
    for gone in 0..=8 {
        let mut cook = bounded();
        cook.log.records.drain(..gone);
        cook.log_is(&[]);
        cook.reader_is(false, &[]);
    }
    for gone in 1..8 {
        let mut cook = bounded();
        cook.log.records.remove(gone);
        cook.log_is(&[Fault::Lost]);
    }
}

#[test]
fn of_a_batch_without_an_answer_a_bound_takes_a_beginning_only() {
    let mut cook = bounded();
    cook.ledger.writes[5].outcome = Outcome::Unknown;
    cook.ledger.writes[5].lines.iter_mut().for_each(|line| line.id = None);
    cook.log_is(&[]);
    let whole = cook.log.records.clone();
    cook.log.records.remove(5);
    cook.log_is(&[Fault::Torn]);
    cook.log.records = whole;
    cook.log.records.drain(..6);
    cook.log_is(&[]);
}

#[test]
fn a_part_of_a_log_with_a_bound_lacks_nothing_unless_it_says_so() {
    let mut cook = bounded();
    cook.log.since = Some(cook.ledger.writes[1].sent);
    cook.log.records.drain(..1);
    cook.log_is(&[]);
    cook.log.records.drain(..1);
    cook.log_is(&[Fault::Lost]);
    cook.log.trimmed.push("a".to_owned());
    cook.log_is(&[]);
}

#[test]
fn what_a_bound_took_before_it_came_is_told_and_nothing_else() {
    let mut cook = bounded();
    cook.log.records.drain(..3);
    cook.seen.drain(1..3);
    cook.reader_is(false, &[Fault::Lost, Fault::Lost]);
    cook.gap("trimmed", 10, &["a"]);
    cook.reader_is(false, &[Fault::Lost]);
    cook.gap("trimmed", 10, &["a", "b"]);
    cook.reader_is(false, &[]);
    // Before it went past them nothing of this was gone.
    cook.gap("trimmed", 30, &["b"]);
    cook.reader_is(false, &[Fault::FalseGap]);
    let mut cook = bounded();
    cook.gap("trimmed", 10, &["a"]);
    cook.reader_is(false, &[Fault::FalseGap]);
}
