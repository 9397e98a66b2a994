//! Invented histories of readers that get a 204.

use std::time::Duration;

use super::{Scenario, event_key, id};
use crate::judge::{
    Atomicity, Content, Fault, History, Log, Observation, Outcome, Received, Write,
};

impl Scenario {
    /// Adds an event at this offset, followed by the end of its topic.
    fn ended(&mut self, topic: &str, number: u64, offset: u64) {
        let write = self.write(&[(topic, number, Some(offset))], Atomicity::Atomic, true);
        self.history.writes[write].end = Some((topic.to_owned(), "done".to_owned()));
        self.history.ends.entry(topic.to_owned()).or_default().push(write);
        self.log(offset, topic, Content::Event(event_key(number)));
        self.log(offset + 1, topic, Content::End("done".to_owned()));
    }

    fn receive_end(&mut self, offset: u64, topic: &str) {
        let what = Observation::Record(Content::End("done".to_owned()), Some(topic.to_owned()));
        let at = self.tick();
        self.seen.push(Received { id: id(offset), offset, at, what });
    }
}

/// Topic `b` ends at offset 21. A reader of `a` and `b` starts after that, and gets event and end of `a` at offsets 30
/// and 31.
fn one_ended_before() -> Scenario {
    let mut scenario = Scenario::three();
    scenario.history = History { is_bounded: true, ..History::default() };
    (scenario.log, scenario.seen) = (Log { is_bounded: true, ..Log::default() }, Vec::new());
    scenario.ended("b", 2, 20);
    (scenario.filters, scenario.began, scenario.start) = (&["a", "b"], scenario.tick(), 25);
    scenario.ended("a", 3, 30);
    scenario.receive(30, Content::Event(event_key(3)));
    scenario.receive_end(31, "a");
    scenario.expect_log(&[]);
    scenario
}

#[test]
fn a_204_without_an_end_is_detected() {
    one_ended_before().expect_reader(true, &[]);
    let mut scenario = one_ended_before();
    scenario.seen.pop();
    scenario.expect_reader(true, &[Fault::FalseEnd]);
    let mut scenario = one_ended_before();
    scenario.start = 15;
    scenario.expect_reader(true, &[Fault::Lost, Fault::Lost, Fault::FalseEnd]);
    let mut scenario = one_ended_before();
    scenario.filters = &["a", "b", "c"];
    scenario.expect_reader(true, &[Fault::FalseEnd]);
}

#[test]
fn the_size_limit_may_remove_an_end_from_before_the_reader() {
    let trimmed = || {
        let mut scenario = one_ended_before();
        scenario.log.records.drain(..2);
        scenario
    };
    trimmed().expect_log(&[]);
    trimmed().expect_reader(true, &[]);
    let mut without_response = trimmed();
    without_response.history.writes[0].outcome = Outcome::Unknown;
    without_response.history.writes[0].lines[0].id = None;
    without_response.expect_reader(true, &[]);
    let mut refused = trimmed();
    refused.history.writes[0].outcome = Outcome::Refused(refused.began, 409);
    refused.history.writes[0].lines[0].id = None;
    refused.expect_reader(true, &[Fault::FalseEnd]);
    let mut sent_later = trimmed();
    sent_later.began = sent_later.history.writes[0].sent - Duration::from_millis(1);
    sent_later.expect_reader(true, &[Fault::FalseEnd]);
    let mut not_removed = one_ended_before();
    not_removed.log.records.remove(1);
    not_removed.expect_reader(true, &[Fault::FalseEnd]);
    let mut without_limit = trimmed();
    without_limit.history.is_bounded = false;
    without_limit.expect_reader(true, &[Fault::FalseEnd]);
}

#[test]
fn a_204_despite_newer_events_is_detected() {
    let mut scenario = one_ended_before();
    // The size limit has removed the end of `b`, and its name is used again.
    scenario.log.records.drain(..2);
    let write = scenario.write(&[("b", 4, Some(40))], Atomicity::Atomic, true);
    scenario.log(40, "b", Content::Event(event_key(4)));
    scenario.expect_log(&[]);
    // It is unknown which came first, the response to the publish or the request of the reader.
    scenario.expect_reader(true, &[]);
    scenario.tick();
    scenario.expect_reader(true, &[Fault::FalseEnd]);
    scenario.history.writes[write].lines[0].topic = "c".to_owned();
    scenario.expect_reader(true, &[]);
}

#[test]
fn the_end_of_an_empty_write_may_be_removed_too() {
    let mut scenario = one_ended_before();
    scenario.log.records.drain(..2);
    let (sent, outcome) = (scenario.history.writes[0].sent, scenario.history.writes[0].outcome);
    scenario.history.writes[0] = Write {
        atomicity: Atomicity::Atomic,
        lines: Vec::new(),
        end: Some(("b".to_owned(), "done".to_owned())),
        end_id: Some(id(21)),
        sent,
        outcome,
    };
    scenario.expect_reader(true, &[]);
    scenario.history.writes[0].end_id = Some(id(28));
    scenario.expect_reader(true, &[Fault::FalseEnd]);
}

#[test]
fn a_204_after_the_last_event_of_a_topic_that_was_used_again_is_detected() {
    let mut scenario = one_ended_before();
    scenario.write(&[("a", 4, Some(40))], Atomicity::Atomic, true);
    scenario.receive(40, Content::Event(event_key(4)));
    scenario.log.records.clear();
    scenario.log(40, "a", Content::Event(event_key(4)));
    scenario.expect_reader(true, &[Fault::FalseEnd]);
    scenario.receive_end(41, "a");
    scenario.log(41, "a", Content::End("done".to_owned()));
    scenario.expect_reader(true, &[]);
}
