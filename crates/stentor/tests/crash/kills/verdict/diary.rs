//! What a reader saw, judged.

use std::collections::HashSet;
use std::fmt::Display;

use tokio::time::Instant;

use super::{Facts, Fault, Finding};
use crate::kills::diary::{Diary, Seen, Told};
use crate::kills::ledger::{Delete, Token, Write};
use crate::kills::log::What;

/// How many topics a gap names at most.
const GAP_TOPICS_MAX: usize = 32;

/// What is wrong with what a reader saw. The reader has had the time to read all of the log, which
/// nobody writes to any more.
pub fn judge_diary(facts: &Facts<'_>, diary: &Diary) -> Vec<Finding> {
    let gaps = diary.seen.iter().filter_map(|seen| match &seen.what {
        Told::Gap { requested, topics, .. } => {
            Some(Gap { at: seen.at, requested: requested.unwrap_or_default(), topics })
        }
        Told::Record(..) => None,
    });
    let events = diary.seen.iter().filter_map(|seen| match seen.what {
        Told::Record(What::Event(token), _) => Some(token),
        Told::Record(..) | Told::Gap { .. } => None,
    });
    let (gaps, events) = (gaps.collect(), events.collect());
    let mut judge = Judge { facts, diary, gaps, events, findings: Vec::new() };
    judge.order();
    judge.records();
    judge.gaps();
    judge.nothing_missed();
    judge.nothing_removed_in_silence();
    judge.finish();
    judge.findings
}

struct Judge<'a> {
    facts: &'a Facts<'a>,
    diary: &'a Diary,
    gaps: Vec<Gap<'a>>,
    events: HashSet<Token>,
    findings: Vec<Finding>,
}

/// When a gap was told, behind which offset, and of which topics.
struct Gap<'a> {
    at: Instant,
    requested: u64,
    topics: &'a [String],
}

impl Judge<'_> {
    fn find(&mut self, fault: Fault, detail: impl Display) {
        self.findings.push(Finding::new(fault, format!("{}: {detail}", self.diary.name)));
    }

    /// Each record once and in the order of the log, and gaps where they belong.
    fn order(&mut self) {
        let (mut last, mut ids, mut tokens) = (None, HashSet::new(), HashSet::new());
        for seen in &self.diary.seen {
            let Told::Record(what, _) = &seen.what else { continue };
            let is_new = match what {
                What::Event(token) => tokens.insert(*token),
                What::End(_) | What::Damaged(_) => true,
            };
            if !ids.insert(seen.offset) || !is_new {
                self.find(Fault::Doubled, format!("{} {what:?} came again", seen.id));
            } else if let Some(before) = last.filter(|last| seen.offset < *last) {
                self.find(Fault::Reordered, format!("{} came after offset {before}", seen.id));
            }
            last = last.max(Some(seen.offset));
        }
    }

    /// Each record was sent, is asked for, and is in the log under the same id.
    fn records(&mut self) {
        for seen in &self.diary.seen {
            let Told::Record(what, told) = &seen.what else { continue };
            match what {
                What::Damaged(data) => self.find(Fault::Damaged, format!("{}: {data:?}", seen.id)),
                What::Event(token) => match self.facts.places.get(token) {
                    Some((write, line)) => {
                        if !self.diary.asks_for(&line.topic)
                            || told.as_ref().is_some_and(|told| *told != line.topic)
                        {
                            self.find(
                                Fault::Phantom,
                                format!("{token} of {} as {told:?}", line.topic),
                            );
                        }
                        let removable =
                            self.facts.may_be_gone(&line.topic, write.sent, seen.offset);
                        self.same_in_log(seen, what, removable);
                    }
                    None => self.find(Fault::Phantom, format!("{token}: never sent")),
                },
                What::End(reason) => self.end(seen, reason, told.as_deref().unwrap_or_default()),
            }
        }
    }

    fn same_in_log(&mut self, seen: &Seen, what: &What, removable: bool) {
        match self.facts.by_offset.get(&seen.offset) {
            Some(logged) if logged.what == *what && logged.id == seen.id => {}
            Some(logged) => {
                let detail = format!(
                    "{what:?} came as {}, where the log has {:?} as {}",
                    seen.id, logged.what, logged.id
                );
                self.find(Fault::Renamed, detail);
            }
            None if removable => {}
            None => self.find(
                Fault::Phantom,
                format!("{what:?} came as {} and is not in the log", seen.id),
            ),
        }
    }

    fn end(&mut self, seen: &Seen, reason: &str, topic: &str) {
        let mut ends = self.facts.ledger.ends_of(topic);
        let end = ends.find(|(write, why)| *why == reason && !write.is_refused());
        match end {
            Some((write, _)) => {
                let removable = self.facts.may_be_gone(topic, write.sent, seen.offset);
                self.same_in_log(seen, &What::End(reason.to_owned()), removable);
            }
            None if reason == "deleted" && self.facts.ledger.deletes_of(topic).next().is_some() => {
            }
            None => self.find(Fault::FalseEnd, format!("{topic} has ended by {reason:?}")),
        }
    }

    /// A gap is told only where something was removed behind the cursor.
    fn gaps(&mut self) {
        for seen in &self.diary.seen {
            let Told::Gap { reason, requested, topics } = &seen.what else { continue };
            let requested = requested.unwrap_or_default();
            let ledger = self.facts.ledger;
            let is_deleted = |topic: &String| {
                let mut deletes = ledger.deletes_of(topic);
                deletes.any(|delete| self.facts.offset_max(delete) > requested)
            };
            let is_trimmed = |topic: &String| {
                self.facts.may_be_trimmed_behind(topic, requested, seen.at, &self.events)
            };
            let is_lost = |topic: &String| {
                self.diary.asks_for(topic) && (is_trimmed(topic) || is_deleted(topic))
            };
            // One gap tells of several topics, with the worst of their reasons.
            let has_reason = match reason.as_str() {
                "trimmed" => topics.iter().all(|topic| ledger.may_be_trimmed(topic)),
                "deleted" => topics.iter().any(is_deleted),
                _ => false,
            };
            if topics.is_empty() || !has_reason || !topics.iter().all(is_lost) {
                self.find(Fault::FalseGap, format!("{reason} behind {requested}, of {topics:?}"));
            }
        }
    }

    /// What is in the log has come, whatever gaps were told; but what was trimmed after the log was read need
    /// not.
    fn nothing_missed(&mut self) {
        let Some(start) = self.diary.start else { return };
        let seen: HashSet<u64> = self.records_seen().map(|(seen, ..)| seen.offset).collect();
        let last = self.diary.seen.last().map_or(start, |seen| seen.offset);
        let until = if self.diary.is_finished { last } else { u64::MAX };
        for logged in &self.facts.log.records {
            let due = logged.offset > start && logged.offset <= until;
            let place = || self.facts.places.get(&logged.token()?);
            let is_told = || {
                let sent = place().map(|(write, _)| write.sent);
                self.is_told_trimmed(&logged.topic, logged.offset, sent)
            };
            if due
                && self.diary.asks_for(&logged.topic)
                && !seen.contains(&logged.offset)
                && !is_told()
            {
                let detail =
                    format!("{:?} of {} ({}) did not come", logged.what, logged.topic, logged.id);
                self.find(Fault::Lost, detail);
            }
        }
    }

    fn records_seen(&self) -> impl Iterator<Item = (&Seen, &What, Option<&String>)> {
        self.diary.seen.iter().filter_map(|seen| match &seen.what {
            Told::Record(what, topic) => Some((seen, what, topic.as_ref())),
            Told::Gap { .. } => None,
        })
    }

    /// What was removed before it came was told as a gap or as the end of its topic.
    fn nothing_removed_in_silence(&mut self) {
        let Some(start) = self.diary.start else { return };
        let last = self.diary.seen.last().map_or(start, |seen| seen.offset);
        for (write, line, offset) in &self.facts.acknowledged {
            let offset = *offset;
            let due = offset > start && (!self.diary.is_finished || offset <= last);
            let before = self.facts.ledger.deletes_of(&line.topic).any(|delete| {
                delete.sent < self.diary.began
                    && delete.acknowledged.is_none_or(|at| write.sent < at)
            });
            let trimmed_before =
                self.facts.ledger.may_be_trimmed(&line.topic) && write.sent < self.diary.began;
            let is_known = [&self.events, &self.facts.events]
                .iter()
                .any(|events| events.contains(&line.token));
            if due
                && self.diary.asks_for(&line.topic)
                && !is_known
                && !(before || trimmed_before)
                && !self.was_told(write, &line.topic, offset)
            {
                let name = format!("{} of {} (offset {offset})", line.token, line.topic);
                let told = self.told_around(&line.topic, offset);
                self.find(Fault::Lost, format!("{name} was removed in silence; told was {told}"));
            }
        }
    }

    /// What the reader was told of a topic, what came around an offset, and gaps of anything there.
    fn told_around(&self, topic: &str, offset: u64) -> String {
        let seen = &self.diary.seen;
        let at = seen.iter().position(|seen| seen.offset >= offset).unwrap_or(seen.len());
        let near = &seen[at.saturating_sub(3)..seen.len().min(at + 5)];
        let of_it = seen.iter().filter(|seen| match &seen.what {
            Told::Record(_, told) => told.as_deref() == Some(topic),
            Told::Gap { topics, .. } => topics.iter().any(|lost| lost == topic),
        });
        let line = |seen: &Seen| format!("\n    {} {:?}", seen.offset, seen.what);
        let of_it: String = of_it.map(line).collect();
        let near: String = near.iter().map(line).collect();
        format!("{of_it}\n    around it {near}")
    }

    /// Whether the reader was told, after a deletion that may have taken it, that the topic had lost
    /// something, or that the topic was deleted. A reader may have gone past the place of the event, but
    /// not past the deletion, before it is told.
    fn was_told(&self, write: &Write, topic: &str, offset: u64) -> bool {
        let facts = self.facts;
        let taken = |delete: &&Delete| delete.acknowledged.is_none_or(|at| write.sent < at);
        let deletes: Vec<&Delete> = facts.ledger.deletes_of(topic).filter(taken).collect();
        let is_trimmed = self.is_told_trimmed(topic, offset, Some(write.sent));
        is_trimmed
            || self.diary.seen.iter().any(|seen| match &seen.what {
                Told::Record(What::End(reason), Some(ended)) => {
                    let is_later = deletes.iter().any(|delete| seen.at > delete.sent);
                    reason == "deleted" && ended == topic && seen.offset > offset && is_later
                }
                Told::Record(..) => false,
                Told::Gap { requested, topics, .. } => {
                    let requested = requested.unwrap_or_default();
                    let is_of = |delete: &&Delete| {
                        seen.at > delete.sent && facts.offset_max(delete) > requested
                    };
                    let names_it = topics.iter().any(|lost| lost == topic);
                    (names_it || topics.len() >= GAP_TOPICS_MAX) && deletes.iter().any(is_of)
                }
            })
    }

    /// Whether the reader was told, before it went past this offset and after this was sent, that a topic
    /// was trimmed.
    fn is_told_trimmed(&self, topic: &str, offset: u64, sent: Option<Instant>) -> bool {
        self.facts.ledger.may_be_trimmed(topic)
            && self.gaps.iter().any(|Gap { at, requested, topics }| {
                let names_it = topics.iter().any(|lost| lost == topic);
                let is_later = sent.is_none_or(|sent| sent < *at);
                *requested < offset && is_later && (names_it || topics.len() >= GAP_TOPICS_MAX)
            })
    }

    /// 204 is for those who were told the end of each of their topics.
    fn finish(&mut self) {
        let told = |filter: &String| {
            self.records_seen()
                .any(|(_, what, topic)| matches!(what, What::End(_)) && topic == Some(filter))
        };
        if self.diary.is_finished && !self.diary.filters.iter().all(told) {
            self.find(Fault::FalseEnd, "204 without the end of each topic");
        }
    }
}
