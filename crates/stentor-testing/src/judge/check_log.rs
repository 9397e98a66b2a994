//! Checks the log.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use super::check_trim::check_trim;
use super::history::{Atomicity, EventKey, History, Outcome, SentEvent, Write};
use super::log::{Content, Log, LoggedRecord, offset};
use super::oldest::Oldest;
use super::violation::{Fault, Violation};

/// Returns the violations in a log, given the responses known when it was read. Events sent later may or may not be
/// in it.
pub fn check_log(history: &History, log: &Log) -> Vec<Violation> {
    let by_key = history.by_key();
    let oldest = log.records.first().map(|logged| {
        let place = logged.event_key().and_then(|event_key| by_key.get(&event_key));
        Oldest::of(logged, place.map(|(write, _)| *write))
    });
    let found = HashMap::new();
    let mut checker = Checker { history, log, by_key, oldest, found, violations: Vec::new() };
    checker.records();
    checker.ends();
    for write in &history.writes {
        checker.write(write);
    }
    checker.order();
    checker.violations.extend(check_trim(history, log));
    checker.violations
}

struct Checker<'a> {
    history: &'a History,
    log: &'a Log,
    by_key: HashMap<EventKey, (&'a Write, &'a SentEvent)>,
    oldest: Option<Oldest>,
    found: HashMap<EventKey, &'a LoggedRecord>,
    violations: Vec<Violation>,
}

impl<'a> Checker<'a> {
    fn find(&mut self, fault: Fault, detail: String) {
        self.violations.push(Violation::new(fault, detail));
    }

    /// Checks each record separately: it was sent, is in the log once, and has the acknowledged id.
    fn records(&mut self) {
        let mut before = 0;
        for logged in &self.log.records {
            if logged.offset <= before {
                self.find(Fault::Reordered, format!("{} is after offset {before}", logged.id));
            }
            before = logged.offset;
            let event_key = match &logged.what {
                Content::Event(event_key) => *event_key,
                Content::Damaged(data) => {
                    self.find(
                        Fault::Damaged,
                        format!("{} of {}: {data:?}", logged.id, logged.topic),
                    );
                    continue;
                }
                Content::End(_) => continue,
            };
            if let Some(other) = self.found.insert(event_key, logged) {
                let detail =
                    format!("{event_key} of {} is {} and {}", logged.topic, other.id, logged.id);
                self.find(Fault::Duplicated, detail);
            }
            match self.by_key.get(&event_key).copied() {
                Some((write, line)) => self.check_record(logged, write, line),
                None => {
                    self.find(
                        Fault::Phantom,
                        format!("{event_key} of {}: never sent", logged.topic),
                    );
                }
            }
        }
    }

    /// Checks the topic, the id and the outcome of a record of this write.
    fn check_record(&mut self, logged: &LoggedRecord, write: &Write, line: &SentEvent) {
        let name = format!("{} of {}", line.event_key, line.topic);
        if logged.topic != line.topic {
            self.find(Fault::Phantom, format!("{name} is in {}", logged.topic));
        }
        if let Some(id) = line.id.as_ref().filter(|id| **id != logged.id) {
            self.find(
                Fault::WrongId,
                format!("{name} was acknowledged as {id} and is {}", logged.id),
            );
        }
        match write.outcome {
            Outcome::Refused(_, status) => {
                self.find(Fault::Phantom, format!("{name} was refused with {status}"));
            }
            Outcome::Acknowledged(at) if self.history.must_be_removed(&line.topic, at) => {
                self.find(Fault::Phantom, format!("{name} was deleted"));
            }
            Outcome::Acknowledged(_) | Outcome::Unknown => {}
        }
    }

    /// Checks that the end of a topic is its last record, and that it was requested.
    fn ends(&mut self) {
        let mut ended = BTreeMap::new();
        for logged in &self.log.records {
            let topic = logged.topic.as_str();
            if let Some(end) = ended.get(topic) {
                let fault =
                    if logged.event_key().is_some() { Fault::Phantom } else { Fault::Duplicated };
                self.find(fault, format!("{} is after the end {end} of {topic}", logged.id));
            }
            let Content::End(reason) = &logged.what else { continue };
            ended.insert(topic, logged.id.as_str());
            let mut ends = self.history.ends_of(topic);
            let asked = ends.any(|(write, asked)| asked == reason && !write.is_refused());
            if !asked {
                self.find(Fault::FalseEnd, format!("{topic} ended with reason {reason:?}"));
            }
        }
        let history = self.history;
        for write in &history.writes {
            let Some((topic, reason)) = &write.end else { continue };
            // An earlier request, whose connection the publisher had cut, may have ended the topic long before.
            let is_before = write.end_id.as_ref().is_some_and(|id| offset(id) <= self.log.after);
            let is_due = write.acknowledged().is_some() && self.is_in_part(write) && !is_before;
            let found = ended.get(topic.as_str());
            let is_found = match &write.end_id {
                Some(id) => found == Some(&id.as_str()),
                None => found.is_some(),
            };
            let may_be_removed = history.may_be_removed(topic, write.sent);
            if is_due && !is_found && !may_be_removed && !self.may_be_trimmed(write, None) {
                let id = write.end_id.as_deref().unwrap_or("no id");
                self.find(Fault::Lost, format!("the end of {topic} with reason {reason:?} ({id})"));
            }
        }
    }

    /// Returns `true` if this part of the log must contain the write, provided that the log does.
    fn is_in_part(&self, write: &Write) -> bool {
        self.log.since.is_none_or(|since| write.sent >= since)
    }

    /// Checks a write: complete if acknowledged; otherwise all or nothing, or the first events without a hole.
    fn write(&mut self, write: &'a Write) {
        if let Outcome::Refused(_, status) = write.outcome
            && !matches!(status, 409 | 503)
        {
            let lines: Vec<&SentEvent> = write.lines.iter().collect();
            self.find(Fault::UnexpectedStatus, format!("{} got status {status}", names(&lines)));
        }
        if write.is_refused() || !self.is_in_part(write) {
            return;
        }
        let removable = |line: &&SentEvent| self.history.may_be_removed(&line.topic, write.sent);
        let lines: Vec<&SentEvent> = write.lines.iter().filter(|line| !removable(line)).collect();
        let lines = self.without_the_oldest(write, lines);
        let missing: Vec<&SentEvent> = lines
            .iter()
            .filter(|line| !self.found.contains_key(&line.event_key))
            .copied()
            .collect();
        if write.acknowledged().is_some() {
            for line in missing {
                let id = line.id.as_deref().unwrap_or("no id");
                self.find(
                    Fault::Lost,
                    format!("{} of {}, acknowledged ({id})", line.event_key, line.topic),
                );
            }
        } else if write.atomicity == Atomicity::Atomic {
            let end = write
                .end
                .as_ref()
                .filter(|(topic, _)| !self.history.may_be_removed(topic, write.sent));
            let end = end.map(|(topic, reason)| self.has_end(topic, reason));
            let parts =
                lines.iter().map(|line| self.found.contains_key(&line.event_key)).chain(end);
            let parts: Vec<bool> = parts.collect();
            if parts.contains(&true) && parts.contains(&false) {
                self.find(
                    Fault::Torn,
                    format!("{} are in the log in part: {parts:?}", names(&lines)),
                );
            }
        } else if let Some(first) = missing.first() {
            let later = lines.iter().skip_while(|line| line.event_key != first.event_key);
            if let Some(line) = later.clone().find(|line| self.found.contains_key(&line.event_key))
            {
                let detail = format!(
                    "{} of {} is in the log, {} is not",
                    line.event_key, line.topic, first.event_key
                );
                self.find(Fault::Torn, detail);
            }
        }
        self.order_within(write);
    }

    /// Returns `true` if the log size limit may have removed an event of a write, or its end. Then nothing older is
    /// left.
    fn may_be_trimmed(&self, write: &Write, line: Option<&SentEvent>) -> bool {
        self.log.may_lack_the_oldest()
            && self.oldest.is_none_or(|oldest| !oldest.is_before(write, line))
    }

    /// The events of a write without those that the log size limit has removed, which are the first ones.
    fn without_the_oldest(
        &mut self,
        write: &Write,
        mut lines: Vec<&'a SentEvent>,
    ) -> Vec<&'a SentEvent> {
        if !self.history.is_bounded {
            return lines;
        }
        let found = |line: &SentEvent| self.found.get(&line.event_key).copied();
        let kept = lines.split_off(lines.iter().take_while(|line| found(line).is_none()).count());
        let first = write.lines.iter().find_map(|line| Some((line, found(line)?)));
        let is_hole = |gone: &SentEvent| {
            let Some((first, logged)) = first else { return false };
            let is_behind = write.lines.iter().take_while(|line| line.event_key != gone.event_key);
            // The events of an atomic write are adjacent, so its remaining events must be the oldest of the log.
            let is_oldest = self.oldest.is_none_or(|oldest| oldest.offset >= logged.offset);
            is_behind.clone().any(|line| line.event_key == first.event_key)
                || write.atomicity == Atomicity::Atomic && !is_oldest
        };
        let mut violations = Vec::new();
        for line in lines {
            let is_lost = write.acknowledged().is_some() && !self.may_be_trimmed(write, Some(line));
            if is_lost || is_hole(line) {
                let fault = if write.acknowledged().is_some() { Fault::Lost } else { Fault::Torn };
                let oldest = self.oldest.map_or(0, |oldest| oldest.offset);
                let detail = format!(
                    "{} of {}, although offset {oldest} is in the log",
                    line.event_key, line.topic
                );
                violations.push(Violation::new(fault, detail));
            }
        }
        self.violations.append(&mut violations);
        kept
    }

    fn has_end(&self, topic: &str, reason: &str) -> bool {
        let mut found = self.log.records.iter().filter(|logged| logged.topic == topic);
        found.any(|logged| logged.what == Content::End(reason.to_owned()))
    }

    fn order_within(&mut self, write: &Write) {
        let found = write.lines.iter().filter_map(|line| self.found.get(&line.event_key).copied());
        let found: Vec<&LoggedRecord> = found.collect();
        for pair in found.windows(2) {
            if pair[0].offset >= pair[1].offset {
                let detail = format!("{} and {} of one write", pair[0].id, pair[1].id);
                self.find(Fault::Reordered, detail);
            }
        }
    }

    /// Checks the order in each topic: an event acknowledged before another was sent precedes it.
    fn order(&mut self) {
        let mut latest: HashMap<&str, (Instant, EventKey)> = HashMap::new();
        for (logged, event_key) in self.log.events() {
            let Some((write, line)) = self.by_key.get(&event_key).copied() else { continue };
            if let (Some(at), Some((sent, other))) =
                (write.acknowledged(), latest.get(line.topic.as_str()))
                && at < *sent
            {
                let detail = format!(
                    "{event_key} of {} was acknowledged before {other} was sent",
                    logged.topic
                );
                self.find(Fault::Reordered, detail);
            }
            let newest = latest.entry(&line.topic).or_insert((write.sent, event_key));
            if write.sent > newest.0 {
                *newest = (write.sent, event_key);
            }
        }
    }
}

fn names(lines: &[&SentEvent]) -> String {
    let names: Vec<String> =
        lines.iter().map(|line| format!("{} of {}", line.event_key, line.topic)).collect();
    names.join(", ")
}
