//! Checks the observations of a reader.

use std::collections::HashSet;
use std::fmt::Display;

use tokio::time::Instant;

use super::history::{Delete, EventKey, Write};
use super::index::Index;
use super::log::Content;
use super::observations::{Observation, Observations, Received};
use super::violation::{Fault, Violation};

/// Maximum number of topics named in a gap.
const GAP_TOPICS_MAX: usize = 32;

/// Returns the violations in the observations of a reader. It must have had time to read the whole log, which no
/// publisher writes to any more.
pub fn check_reader(index: &Index<'_>, observations: &Observations) -> Vec<Violation> {
    let gaps = observations.seen.iter().filter_map(|seen| match &seen.what {
        Observation::Gap { requested, topics, .. } => {
            Some(Gap { at: seen.at, requested: requested.unwrap_or_default(), topics })
        }
        Observation::Record(..) => None,
    });
    let events = observations.seen.iter().filter_map(|seen| match seen.what {
        Observation::Record(Content::Event(event_key), _) => Some(event_key),
        Observation::Record(..) | Observation::Gap { .. } => None,
    });
    let (gaps, events) = (gaps.collect(), events.collect());
    let mut checker = Checker { index, observations, gaps, events, violations: Vec::new() };
    checker.order();
    checker.records();
    checker.gaps();
    checker.nothing_missed();
    checker.nothing_removed_without_a_report();
    checker.finish();
    checker.violations
}

struct Checker<'a> {
    index: &'a Index<'a>,
    observations: &'a Observations,
    gaps: Vec<Gap<'a>>,
    events: HashSet<EventKey>,
    violations: Vec<Violation>,
}

/// A gap: its time, the offset after which the reader resumed, and its topics.
struct Gap<'a> {
    at: Instant,
    requested: u64,
    topics: &'a [String],
}

impl Checker<'_> {
    fn find(&mut self, fault: Fault, detail: impl Display) {
        self.violations
            .push(Violation::new(fault, format!("{}: {detail}", self.observations.name)));
    }

    /// Checks that each record arrived once and in the order of the log.
    fn order(&mut self) {
        let (mut last, mut ids, mut event_keys) = (None, HashSet::new(), HashSet::new());
        for seen in &self.observations.seen {
            let Observation::Record(what, _) = &seen.what else { continue };
            let is_new = match what {
                Content::Event(event_key) => event_keys.insert(*event_key),
                Content::End(_) | Content::Damaged(_) => true,
            };
            if !ids.insert(seen.offset) || !is_new {
                self.find(Fault::Duplicated, format!("{} {what:?} arrived again", seen.id));
            } else if let Some(before) = last.filter(|last| seen.offset < *last) {
                self.find(Fault::Reordered, format!("{} arrived after offset {before}", seen.id));
            }
            last = last.max(Some(seen.offset));
        }
    }

    /// Checks that each record was sent, matches the filters, and is in the log with that id.
    fn records(&mut self) {
        for seen in &self.observations.seen {
            let Observation::Record(what, topic) = &seen.what else { continue };
            match what {
                Content::Damaged(data) => {
                    self.find(Fault::Damaged, format!("{}: {data:?}", seen.id));
                }
                Content::Event(event_key) => match self.index.by_key.get(event_key) {
                    Some((write, line)) => {
                        if !self.observations.matches(&line.topic)
                            || topic.as_ref().is_some_and(|topic| *topic != line.topic)
                        {
                            self.find(
                                Fault::Phantom,
                                format!("{event_key} of {} as {topic:?}", line.topic),
                            );
                        }
                        let removable =
                            self.index.may_be_gone(&line.topic, write.sent, seen.offset);
                        self.is_in_log(seen, what, removable);
                    }
                    None => self.find(Fault::Phantom, format!("{event_key}: never sent")),
                },
                Content::End(reason) => {
                    self.end(seen, reason, topic.as_deref().unwrap_or_default());
                }
            }
        }
    }

    fn is_in_log(&mut self, seen: &Received, what: &Content, removable: bool) {
        match self.index.by_offset.get(&seen.offset) {
            Some(logged) if logged.what == *what && logged.id == seen.id => {}
            Some(logged) => {
                let detail = format!(
                    "{what:?} arrived as {}, but the log has {:?} as {}",
                    seen.id, logged.what, logged.id
                );
                self.find(Fault::WrongId, detail);
            }
            None if removable => {}
            None => self.find(
                Fault::Phantom,
                format!("{what:?} arrived as {} and is not in the log", seen.id),
            ),
        }
    }

    fn end(&mut self, seen: &Received, reason: &str, topic: &str) {
        let mut ends = self.index.history.ends_of(topic);
        let end = ends.find(|(write, why)| *why == reason && !write.is_refused());
        match end {
            Some((write, _)) => {
                let removable = self.index.may_be_gone(topic, write.sent, seen.offset);
                self.is_in_log(seen, &Content::End(reason.to_owned()), removable);
            }
            None if reason == "deleted"
                && self.index.history.deletes_of(topic).next().is_some() => {}
            None => self.find(Fault::FalseEnd, format!("{topic} ended with reason {reason:?}")),
        }
    }

    /// Checks that each gap has a reason: something was removed after the cursor.
    fn gaps(&mut self) {
        for seen in &self.observations.seen {
            let Observation::Gap { reason, requested, topics } = &seen.what else { continue };
            let requested = requested.unwrap_or_default();
            let history = self.index.history;
            let is_deleted = |topic: &String| {
                let mut deletes = history.deletes_of(topic);
                deletes.any(|delete| self.index.offset_max(delete) > requested)
            };
            let is_trimmed = |topic: &String| {
                self.index.may_be_trimmed_behind(topic, requested, seen.at, &self.events)
            };
            let is_lost = |topic: &String| {
                self.observations.matches(topic) && (is_trimmed(topic) || is_deleted(topic))
            };
            // One gap may cover several topics, with the most serious of their reasons.
            let has_reason = match reason.as_str() {
                "trimmed" => topics.iter().all(|topic| history.may_be_trimmed(topic)),
                "deleted" => topics.iter().any(is_deleted),
                _ => false,
            };
            if topics.is_empty() || !has_reason || !topics.iter().all(is_lost) {
                self.find(Fault::FalseGap, format!("{reason} after {requested}, of {topics:?}"));
            }
        }
    }

    /// Checks that every record of the log arrived, even after gaps. Of the records trimmed after the log was read,
    /// those are exempt that a gap reported, and those that may have been trimmed before the reader began.
    fn nothing_missed(&mut self) {
        let Some(start) = self.observations.start else { return };
        let seen: HashSet<u64> = self.records_seen().map(|(seen, ..)| seen.offset).collect();
        let last = self.observations.seen.last().map_or(start, |seen| seen.offset);
        let until = if self.observations.finished.is_some() { last } else { u64::MAX };
        for logged in &self.index.log.records {
            let due = logged.offset > start && logged.offset <= until;
            let place = || self.index.by_key.get(&logged.event_key()?);
            let is_exempt = || {
                let sent = place().map(|(write, _)| write.sent);
                self.has_trimmed_gap(&logged.topic, logged.offset, sent)
                    || self.index.may_be_trimmed_before(logged, self.observations.began)
            };
            if due
                && self.observations.matches(&logged.topic)
                && !seen.contains(&logged.offset)
                && !is_exempt()
            {
                let detail =
                    format!("{:?} of {} ({}) did not arrive", logged.what, logged.topic, logged.id);
                self.find(Fault::Lost, detail);
            }
        }
    }

    fn records_seen(&self) -> impl Iterator<Item = (&Received, &Content, Option<&String>)> {
        self.observations.seen.iter().filter_map(|seen| match &seen.what {
            Observation::Record(what, topic) => Some((seen, what, topic.as_ref())),
            Observation::Gap { .. } => None,
        })
    }

    /// Checks that every event removed before it arrived was reported by a gap or by the end of its topic.
    fn nothing_removed_without_a_report(&mut self) {
        let Some(start) = self.observations.start else { return };
        let last = self.observations.seen.last().map_or(start, |seen| seen.offset);
        for (write, line, offset) in &self.index.acknowledged {
            let offset = *offset;
            let due = offset > start && (self.observations.finished.is_none() || offset <= last);
            let before = self.index.history.deletes_of(&line.topic).any(|delete| {
                delete.sent < self.observations.began
                    && delete.acknowledged.is_none_or(|at| write.sent < at)
            });
            let trimmed_before = self.index.history.may_be_trimmed(&line.topic)
                && write.sent < self.observations.began;
            let is_known = [&self.events, &self.index.events]
                .iter()
                .any(|events| events.contains(&line.event_key));
            if due
                && self.observations.matches(&line.topic)
                && !is_known
                && !(before || trimmed_before)
                && !self.was_reported(write, &line.topic, offset)
            {
                let name = format!("{} of {} (offset {offset})", line.event_key, line.topic);
                let observed = self.observations_around(&line.topic, offset);
                self.find(
                    Fault::Lost,
                    format!("{name} was removed without a report; observed: {observed}"),
                );
            }
        }
    }

    /// The content of the last record of a topic that it received.
    fn last_of(&self, topic: &str) -> Option<&Content> {
        let is_of = |what: &Content, of: Option<&String>| match what {
            Content::Event(event_key) => {
                self.index.by_key.get(event_key).is_some_and(|(_, line)| line.topic == topic)
            }
            Content::End(_) | Content::Damaged(_) => of.is_some_and(|of| of == topic),
        };
        let seen = self.records_seen().filter(|(_, what, of)| is_of(what, *of));
        seen.map(|(_, what, _)| what).last()
    }

    /// For error texts: the observations of a topic, and those around an offset.
    fn observations_around(&self, topic: &str, offset: u64) -> String {
        let seen = &self.observations.seen;
        let at = seen.iter().position(|seen| seen.offset >= offset).unwrap_or(seen.len());
        let near = &seen[at.saturating_sub(3)..seen.len().min(at + 5)];
        let of_it = seen.iter().filter(|seen| match &seen.what {
            Observation::Record(_, of) => of.as_deref() == Some(topic),
            Observation::Gap { topics, .. } => topics.iter().any(|lost| lost == topic),
        });
        let line = |seen: &Received| format!("\n    {} {:?}", seen.offset, seen.what);
        let of_it: String = of_it.map(line).collect();
        let near: String = near.iter().map(line).collect();
        format!("{of_it}\n    around the offset: {near}")
    }

    /// Returns `true` if the reader got a gap or an end of the topic after a deletion that may have removed the
    /// event. The reader may have passed the offset of the event before, but not the offset of the deletion.
    fn was_reported(&self, write: &Write, topic: &str, offset: u64) -> bool {
        let index = self.index;
        let taken = |delete: &&Delete| delete.acknowledged.is_none_or(|at| write.sent < at);
        let deletes: Vec<&Delete> = index.history.deletes_of(topic).filter(taken).collect();
        let is_trimmed = self.has_trimmed_gap(topic, offset, Some(write.sent));
        is_trimmed
            || self.observations.seen.iter().any(|seen| match &seen.what {
                Observation::Record(Content::End(reason), Some(ended)) => {
                    let is_later = deletes.iter().any(|delete| seen.at > delete.sent);
                    reason == "deleted" && ended == topic && seen.offset > offset && is_later
                }
                Observation::Record(..) => false,
                Observation::Gap { requested, topics, .. } => {
                    let requested = requested.unwrap_or_default();
                    let is_of = |delete: &&Delete| {
                        seen.at > delete.sent && index.offset_max(delete) > requested
                    };
                    let names_it = topics.iter().any(|lost| lost == topic);
                    (names_it || topics.len() >= GAP_TOPICS_MAX) && deletes.iter().any(is_of)
                }
            })
    }

    /// Returns `true` if the reader got a gap of the topic with reason `trimmed`, before it passed this offset and
    /// after the event was sent.
    fn has_trimmed_gap(&self, topic: &str, offset: u64, sent: Option<Instant>) -> bool {
        self.index.history.may_be_trimmed(topic)
            && self.gaps.iter().any(|Gap { at, requested, topics }| {
                let names_it = topics.iter().any(|lost| lost == topic);
                let is_later = sent.is_none_or(|sent| sent < *at);
                *requested < offset && is_later && (names_it || topics.len() >= GAP_TOPICS_MAX)
            })
    }

    /// Checks that a 204 came only after the end of each of the topics, and that none of them had newer events. A
    /// reader does not receive the end of a topic that had ended before it started.
    fn finish(&mut self) {
        let Some(asked) = self.observations.finished else { return };
        let (index, start) = (self.index, self.observations.start.unwrap_or_default());
        let has_ended = |filter: &String| {
            index.may_have_ended_before(filter, start, self.observations.began)
                || self.last_of(filter).is_some_and(|what| matches!(what, Content::End(_)))
        };
        if !self.observations.filters.iter().all(has_ended) {
            self.find(Fault::FalseEnd, "204 without the end of each topic");
        }
        let last = self.observations.seen.last().map_or(start, |seen| seen.offset);
        let newer = index.acknowledged.iter().find(|(write, line, offset)| {
            *offset > last
                && self.observations.matches(&line.topic)
                && write.acknowledged().is_some_and(|at| at < asked)
        });
        if let Some((_, line, offset)) = newer {
            let name = format!("{} of {} (offset {offset})", line.event_key, line.topic);
            self.find(
                Fault::FalseEnd,
                format!("204 after offset {last}, although {name} was there"),
            );
        }
    }
}
