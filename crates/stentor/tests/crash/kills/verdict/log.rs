//! The log, judged.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use super::oldest::Oldest;
use super::trim::judge_trim;
use super::{Fault, Finding};
use crate::kills::ledger::{Ledger, Line, Outcome, Token, Way, Write};
use crate::kills::log::{Log, Logged, What, offset};

/// What is wrong with a log, by what publishers knew when it was read. Of what they sent later anything
/// may be there.
pub fn judge_log(ledger: &Ledger, log: &Log) -> Vec<Finding> {
    let places = ledger.places();
    let oldest = log.records.first().map(|logged| {
        let place = logged.token().and_then(|token| places.get(&token));
        Oldest::of(logged, place.map(|(write, _)| *write))
    });
    let there = HashMap::new();
    let mut judge = Judge { ledger, log, places, oldest, there, findings: Vec::new() };
    judge.records();
    judge.ends();
    for write in &ledger.writes {
        judge.write(write);
    }
    judge.order();
    judge.findings.extend(judge_trim(ledger, log));
    judge.findings
}

struct Judge<'a> {
    ledger: &'a Ledger,
    log: &'a Log,
    places: HashMap<Token, (&'a Write, &'a Line)>,
    oldest: Option<Oldest>,
    there: HashMap<Token, &'a Logged>,
    findings: Vec<Finding>,
}

impl<'a> Judge<'a> {
    fn find(&mut self, fault: Fault, detail: String) {
        self.findings.push(Finding::new(fault, detail));
    }

    /// Each record by itself: somebody sent it, once, and it has the id that was acknowledged.
    fn records(&mut self) {
        let mut before = 0;
        for logged in &self.log.records {
            if logged.offset <= before {
                self.find(Fault::Reordered, format!("{} comes after offset {before}", logged.id));
            }
            before = logged.offset;
            let token = match &logged.what {
                What::Event(token) => *token,
                What::Damaged(data) => {
                    self.find(
                        Fault::Damaged,
                        format!("{} of {}: {data:?}", logged.id, logged.topic),
                    );
                    continue;
                }
                What::End(_) => continue,
            };
            if let Some(other) = self.there.insert(token, logged) {
                let detail =
                    format!("{token} of {} is {} and {}", logged.topic, other.id, logged.id);
                self.find(Fault::Doubled, detail);
            }
            match self.places.get(&token).copied() {
                Some((write, line)) => self.place(logged, write, line),
                None => {
                    self.find(Fault::Phantom, format!("{token} of {}: never sent", logged.topic));
                }
            }
        }
    }

    fn place(&mut self, logged: &Logged, write: &Write, line: &Line) {
        let name = format!("{} of {}", line.token, line.topic);
        if logged.topic != line.topic {
            self.find(Fault::Phantom, format!("{name} is in {}", logged.topic));
        }
        if let Some(id) = line.id.as_ref().filter(|id| **id != logged.id) {
            self.find(
                Fault::Renamed,
                format!("{name} was acknowledged as {id} and is {}", logged.id),
            );
        }
        match write.outcome {
            Outcome::Refused(_, status) => {
                self.find(Fault::Phantom, format!("{name} was answered {status}"));
            }
            Outcome::Acknowledged(at) if self.ledger.must_be_removed(&line.topic, at) => {
                self.find(Fault::Phantom, format!("{name} was deleted"));
            }
            Outcome::Acknowledged(_) | Outcome::Unknown => {}
        }
    }

    /// The end of a topic is its last record, and somebody asked for it.
    fn ends(&mut self) {
        let mut ended = BTreeMap::new();
        for logged in &self.log.records {
            let topic = logged.topic.as_str();
            if let Some(end) = ended.get(topic) {
                let fault = if logged.token().is_some() { Fault::Phantom } else { Fault::Doubled };
                self.find(fault, format!("{} comes after the end {end} of {topic}", logged.id));
            }
            let What::End(reason) = &logged.what else { continue };
            ended.insert(topic, logged.id.as_str());
            let mut ends = self.ledger.ends_of(topic);
            let asked = ends.any(|(write, asked)| asked == reason && !write.is_refused());
            if !asked {
                self.find(Fault::FalseEnd, format!("{topic} has ended by {reason:?}"));
            }
        }
        let ledger = self.ledger;
        for write in &ledger.writes {
            let Some((topic, reason)) = &write.end else { continue };
            // A request that its publisher had given up may have ended the topic long before.
            let is_before = write.end_id.as_ref().is_some_and(|id| offset(id) <= self.log.after);
            let is_due = write.acknowledged().is_some() && self.is_in_part(write) && !is_before;
            let there = ended.get(topic.as_str());
            let is_there = match &write.end_id {
                Some(id) => there == Some(&id.as_str()),
                None => there.is_some(),
            };
            let may_be_removed = ledger.may_be_removed(topic, write.sent);
            if is_due && !is_there && !may_be_removed && !self.may_have_gone(write, None) {
                let id = write.end_id.as_deref().unwrap_or("no id of its own");
                self.find(Fault::Lost, format!("the end of {topic} by {reason:?} ({id})"));
            }
        }
    }

    /// Whether the log, if it is a part, must hold this write if it holds it at all.
    fn is_in_part(&self, write: &Write) -> bool {
        self.log.since.is_none_or(|since| write.sent >= since)
    }

    /// All of it if it was acknowledged; all or nothing, or a beginning, if not.
    fn write(&mut self, write: &'a Write) {
        if let Outcome::Refused(_, status) = write.outcome
            && !matches!(status, 409 | 503)
        {
            let lines: Vec<&Line> = write.lines.iter().collect();
            self.find(Fault::Strange, format!("{} was answered {status}", names(&lines)));
        }
        if write.is_refused() || !self.is_in_part(write) {
            return;
        }
        let removable = |line: &&Line| self.ledger.may_be_removed(&line.topic, write.sent);
        let lines: Vec<&Line> = write.lines.iter().filter(|line| !removable(line)).collect();
        let lines = self.without_the_oldest(write, lines);
        let missing: Vec<&Line> =
            lines.iter().filter(|line| !self.there.contains_key(&line.token)).copied().collect();
        if write.acknowledged().is_some() {
            for line in missing {
                let id = line.id.as_deref().unwrap_or("no id of its own");
                self.find(
                    Fault::Lost,
                    format!("{} of {}, acknowledged ({id})", line.token, line.topic),
                );
            }
        } else if write.way == Way::Whole {
            let end = write
                .end
                .as_ref()
                .filter(|(topic, _)| !self.ledger.may_be_removed(topic, write.sent));
            let end = end.map(|(topic, reason)| self.has_end(topic, reason));
            let parts = lines.iter().map(|line| self.there.contains_key(&line.token)).chain(end);
            let parts: Vec<bool> = parts.collect();
            if parts.contains(&true) && parts.contains(&false) {
                self.find(Fault::Torn, format!("{} are there: {parts:?}", names(&lines)));
            }
        } else if let Some(first) = missing.first() {
            let behind = lines.iter().skip_while(|line| line.token != first.token);
            if let Some(line) = behind.clone().find(|line| self.there.contains_key(&line.token)) {
                let detail =
                    format!("{} of {} is there, {} is not", line.token, line.topic, first.token);
                self.find(Fault::Torn, detail);
            }
        }
        self.order_within(write);
    }

    /// Whether the bound of the log may have taken a line of a write, or its end: nothing is left that came
    /// before it.
    fn may_have_gone(&self, write: &Write, line: Option<&Line>) -> bool {
        self.log.may_lack_the_oldest()
            && self.oldest.is_none_or(|oldest| !oldest.is_before(write, line))
    }

    /// The lines of a write but for those that the bound of the log took: a beginning of them.
    fn without_the_oldest(&mut self, write: &Write, mut lines: Vec<&'a Line>) -> Vec<&'a Line> {
        if !self.ledger.is_bounded {
            return lines;
        }
        let there = |line: &Line| self.there.get(&line.token).copied();
        let kept = lines.split_off(lines.iter().take_while(|line| there(line).is_none()).count());
        let first = write.lines.iter().find_map(|line| Some((line, there(line)?)));
        let is_hole = |gone: &Line| {
            let Some((first, logged)) = first else { return false };
            let is_behind = write.lines.iter().take_while(|line| line.token != gone.token);
            // What is all or nothing stands together, so what is left of it is the oldest of all.
            let stands_alone = self.oldest.is_none_or(|oldest| oldest.offset >= logged.offset);
            is_behind.clone().any(|line| line.token == first.token)
                || write.way == Way::Whole && !stands_alone
        };
        let mut findings = Vec::new();
        for line in lines {
            let is_lost = write.acknowledged().is_some() && !self.may_have_gone(write, Some(line));
            if is_lost || is_hole(line) {
                let fault = if write.acknowledged().is_some() { Fault::Lost } else { Fault::Torn };
                let oldest = self.oldest.map_or(0, |oldest| oldest.offset);
                let detail =
                    format!("{} of {}, where offset {oldest} is there", line.token, line.topic);
                findings.push(Finding::new(fault, detail));
            }
        }
        self.findings.append(&mut findings);
        kept
    }

    fn has_end(&self, topic: &str, reason: &str) -> bool {
        let mut there = self.log.records.iter().filter(|logged| logged.topic == topic);
        there.any(|logged| logged.what == What::End(reason.to_owned()))
    }

    fn order_within(&mut self, write: &Write) {
        let there = write.lines.iter().filter_map(|line| self.there.get(&line.token).copied());
        let there: Vec<&Logged> = there.collect();
        for pair in there.windows(2) {
            if pair[0].offset >= pair[1].offset {
                let detail = format!("{} and {} of one write", pair[0].id, pair[1].id);
                self.find(Fault::Reordered, detail);
            }
        }
    }

    /// Per topic: what was acknowledged before another was sent comes before it.
    fn order(&mut self) {
        let mut latest: HashMap<&str, (Instant, Token)> = HashMap::new();
        for (logged, token) in self.log.events() {
            let Some((write, line)) = self.places.get(&token).copied() else { continue };
            if let (Some(at), Some((sent, other))) =
                (write.acknowledged(), latest.get(line.topic.as_str()))
                && at < *sent
            {
                let detail =
                    format!("{token} of {} was acknowledged before {other} was sent", logged.topic);
                self.find(Fault::Reordered, detail);
            }
            let newest = latest.entry(&line.topic).or_insert((write.sent, token));
            if write.sent > newest.0 {
                *newest = (write.sent, token);
            }
        }
    }
}

fn names(lines: &[&Line]) -> String {
    let names: Vec<String> =
        lines.iter().map(|line| format!("{} of {}", line.token, line.topic)).collect();
    names.join(", ")
}
