//! The model: a list of all records that were ever appended. Its rules scan the whole list each time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::cursor::Offset;
use crate::filter::Filters;
use crate::key::{Key, KeyContent};
use crate::publish::{Entry, Publish};
use crate::record::{Body, Record};
use crate::storage::{KeyHash, KeyName, TopicState, TrimLimits, Trimmed};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;
use crate::uptime::advance_uptime;

pub(super) struct Naive {
    pub(super) lines: Vec<Line>,
    losses: Vec<Loss>,
    keys: HashMap<KeyName, Stored>,
    /// Events and bytes trimmed since the log was opened.
    pub(super) trimmed: Trimmed,
    /// The time by which keys expire.
    pub(super) key_time: Timestamp,
    /// The time of the clock; it can go back.
    pub(super) now: Timestamp,
    /// Number of times that the count of removals was queried.
    pub(super) moment: usize,
}

/// A record as it must be, and the record that the storage appended.
pub(super) struct Line {
    entry: Entry,
    time: Timestamp,
    alive: bool,
    record: Option<Arc<Record>>,
}

impl Line {
    pub(super) fn record(&self) -> &Arc<Record> {
        self.record.as_ref().unwrap()
    }

    fn is_event(&self) -> bool {
        matches!(self.entry.body, Body::Event(_))
    }
}

/// A loss of records of a topic.
struct Loss {
    topic: TopicName,
    through: Offset,
    deleted: bool,
    moment: usize,
}

/// A topic whose loss must be reported to a reader.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) topic: TopicName,
    /// `Some` if all its losses are deletions (`true`) or all are trims (`false`).
    pub(super) deleted: Option<bool>,
}

/// The content of a key: the hash of the publish, or after each part, and the indexes of the first and last line.
struct Stored {
    upload: bool,
    hashes: Vec<KeyHash>,
    first: usize,
    last: usize,
    expires: Timestamp,
}

/// An outcome with indexes of lines instead of ids.
#[derive(Debug)]
pub(super) enum ModelOutcome {
    Appended(usize, usize),
    Repeat(usize, usize),
    /// The index of the end; `None` if the end is in the refused publish itself.
    Ended(TopicName, Option<usize>),
    KeyReused,
    Withheld,
}

impl ModelOutcome {
    /// Number of appended records.
    pub(super) fn records(&self) -> usize {
        match self {
            ModelOutcome::Appended(first, last) => last - first + 1,
            ModelOutcome::Repeat(..)
            | ModelOutcome::Ended(..)
            | ModelOutcome::KeyReused
            | ModelOutcome::Withheld => 0,
        }
    }
}

impl Naive {
    pub(super) fn new() -> Naive {
        Naive {
            lines: Vec::new(),
            losses: Vec::new(),
            keys: HashMap::new(),
            trimmed: Trimmed::default(),
            key_time: Timestamp::default(),
            now: super::super::log::at(0),
            moment: 0,
        }
    }

    pub(super) fn clock(&mut self, seconds: i64) -> Timestamp {
        self.now = Timestamp::from_micros(self.now.as_micros() + seconds * 1_000_000);
        // Otherwise a long step would be a jump of the clock.
        advance_uptime(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()));
        self.now
    }

    pub(super) fn append(&mut self, batch: &[Publish], now: Timestamp) -> Vec<ModelOutcome> {
        let newest = self.lines.last().map_or(now, |line| line.time);
        self.key_time = self.key_time.max(now).max(newest);
        let mut is_in_log = true;
        let each = batch.iter().map(|publish| {
            if publish.requires_previous && !is_in_log {
                return ModelOutcome::Withheld;
            }
            let outcome = self.publish(publish, now);
            is_in_log = matches!(outcome, ModelOutcome::Appended(..) | ModelOutcome::Repeat(..));
            outcome
        });
        each.collect()
    }

    /// Checks records against the newest lines.
    pub(super) fn is_appended(&mut self, records: &[Arc<Record>]) {
        let from = self.lines.len() - records.len();
        let mut last =
            from.checked_sub(1).map_or(Offset::ZERO, |at| self.lines[at].record().offset());
        for (line, record) in self.lines[from..].iter_mut().zip(records) {
            assert!(line.record.is_none());
            assert!(record.offset() > last);
            last = record.offset();
            assert_eq!(*record.topic(), line.entry.topic);
            assert_eq!(*record.body(), line.entry.body);
            assert_eq!(*record.attributes(), line.entry.attributes);
            assert_eq!(record.time(), line.time);
            line.record = Some(Arc::clone(record));
        }
        assert!(self.lines.iter().all(|line| line.record.is_some()), "a record was not appended");
    }

    fn publish(&mut self, publish: &Publish, now: Timestamp) -> ModelOutcome {
        if let Some(outcome) =
            publish.key.as_ref().and_then(|key| self.check(key, &publish.entries))
        {
            return outcome;
        }
        for (at, entry) in publish.entries.iter().enumerate() {
            let topic = &entry.topic;
            if let Some(end) = self.end(topic)
                && self.lines[end].entry.body != Body::Deleted
            {
                return ModelOutcome::Ended(topic.clone(), Some(end));
            }
            let mut before = publish.entries[..at].iter();
            if before.any(|e| e.topic == *topic && matches!(e.body, Body::End { .. })) {
                return ModelOutcome::Ended(topic.clone(), None);
            }
        }
        let first = self.lines.len();
        for entry in &publish.entries {
            self.use_again(&entry.topic);
            self.push(entry.clone(), now);
        }
        let last = self.lines.len() - 1;
        if let Some(key) = &publish.key {
            self.store(key, first, last);
        }
        ModelOutcome::Appended(first, last)
    }

    fn push(&mut self, entry: Entry, now: Timestamp) {
        let time = self.lines.last().map_or(now, |line| line.time.max(now));
        self.lines.push(Line { entry, time, alive: true, record: None });
    }

    fn use_again(&mut self, topic: &TopicName) {
        if self.is_deleted(topic)
            && let Some(at) = self.end(topic)
        {
            self.lines[at].alive = false;
            let through = self.lines[at].record().offset();
            self.lose(topic, through, true);
        }
    }

    fn lose(&mut self, topic: &TopicName, through: Offset, deleted: bool) {
        let moment = self.moment;
        self.losses.push(Loss { topic: topic.clone(), through, deleted, moment });
    }

    fn check(&mut self, key: &Key, entries: &[Entry]) -> Option<ModelOutcome> {
        let now = self.key_time;
        let overlapping = self.overlapping(key, entries);
        let stored = self.keys.get_mut(&key.to_name()).filter(|stored| stored.expires > now);
        if let Some(stored) = &stored
            && stored.upload != key.is_of_upload()
        {
            return Some(ModelOutcome::KeyReused);
        }
        let (at, before, after) = match &key.content {
            KeyContent::Whole(hash) => (0, None, hash),
            KeyContent::Part { index, before, after } => {
                (usize::try_from(*index).unwrap(), Some(before), after)
            }
        };
        let Some(stored) = stored else {
            let reused = at > 0 || overlapping.is_some();
            let is_equal = |(hash, _): &(_, _)| *hash == Some(*after) && before.is_none();
            return match overlapping.filter(is_equal) {
                Some((_, (first, last))) => Some(ModelOutcome::Repeat(first, last)),
                None => reused.then_some(ModelOutcome::KeyReused),
            };
        };
        if at < stored.hashes.len() {
            if stored.hashes[at] != *after {
                return Some(ModelOutcome::KeyReused);
            }
            if before.is_some() {
                stored.expires = stored.expires.max(now.plus(key.window));
            }
            return Some(ModelOutcome::Repeat(stored.first, stored.last));
        }
        let goes_on = at == stored.hashes.len() && before == stored.hashes.last();
        (!goes_on).then_some(ModelOutcome::KeyReused)
    }

    /// Returns the hash (`None` for an upload) and the lines of a publish that takes the key in another scope: a batch
    /// with the topic of the key, or a publish to one of the topics of a batch.
    fn overlapping(
        &self,
        key: &Key,
        entries: &[Entry],
    ) -> Option<(Option<KeyHash>, (usize, usize))> {
        let stored = |scope: Option<TopicName>| {
            let stored = self.keys.get(&KeyName { scope, ..key.to_name() })?;
            (stored.expires > self.key_time).then_some(stored)
        };
        let found = match &key.scope {
            None => entries.iter().find_map(|entry| stored(Some(entry.topic.clone()))),
            Some(topic) => stored(None).filter(|batch| {
                let lines = &self.lines[batch.first..=batch.last];
                // A batch of the same call has no records yet, and nothing of it was removed.
                let since = lines[0].record.as_ref().map_or(Offset::MAX, |first| first.offset());
                let is_removed = |loss: &Loss| loss.topic == *topic && loss.through >= since;
                let deletion = self.end(topic).filter(|_| self.is_deleted(topic));
                lines.iter().any(|line| line.entry.topic == *topic)
                    || self.losses.iter().any(is_removed)
                    || deletion.is_some_and(|at| self.lines[at].record().offset() > since)
            }),
        }?;
        let hash = found.hashes.first().filter(|_| !found.upload).copied();
        Some((hash, (found.first, found.last)))
    }

    fn store(&mut self, key: &Key, first: usize, last: usize) {
        let now = self.key_time;
        let before = self.keys.remove(&key.to_name());
        let (mut hashes, mut from) = (Vec::new(), first);
        let after = match key.content {
            KeyContent::Whole(hash) => hash,
            KeyContent::Part { index, after, .. } => {
                if let Some(before) = before.filter(|_| index > 0) {
                    (hashes, from) = (before.hashes, before.first);
                }
                after
            }
        };
        hashes.push(after);
        let upload = key.is_of_upload();
        let stored = Stored { upload, hashes, first: from, last, expires: now.plus(key.window) };
        self.keys.insert(key.to_name(), stored);
    }

    /// Deletes a topic. Returns `true` if it existed.
    pub(super) fn delete(&mut self, topic: &TopicName, now: Timestamp) -> bool {
        let exists = self.exists(topic);
        if exists {
            for line in self.lines.iter_mut().filter(|line| line.entry.topic == *topic) {
                line.alive = false;
            }
            self.push(Entry::new(topic.clone(), Body::Deleted), now);
        }
        exists
    }

    pub(super) fn trim(&mut self, topic: &TopicName, through: Offset) {
        if self.is_deleted(topic) {
            return;
        }
        let mut last = None;
        for line in self.lines.iter_mut().filter(|line| line.entry.topic == *topic && line.alive) {
            if line.record().offset() <= through {
                line.alive = false;
                last = Some(line.record().offset());
                if line.is_event() {
                    self.trimmed.events += 1;
                    self.trimmed.bytes += line.entry.body.bytes() as u64;
                }
            }
        }
        if let Some(last) = last {
            self.lose(topic, last, false);
        }
    }

    /// The offset up to which a topic must be trimmed. That removes as few of its oldest events as possible, or the
    /// whole topic.
    pub(super) fn trim_point(&self, topic: &TopicName, limits: &TrimLimits) -> Option<Offset> {
        let (events, end): (Vec<_>, Vec<_>) = self.of(topic).partition(|(_, line)| line.is_event());
        if self.is_deleted(topic) {
            return None;
        }
        let may_stay = |events: &[(usize, &Line)]| {
            let bytes: usize = events.iter().map(|(_, line)| line.entry.body.bytes()).sum();
            limits.events.is_none_or(|most| events.len() as u64 <= most)
                && limits.bytes.is_none_or(|most| bytes as u64 <= most)
                && limits
                    .since
                    .is_none_or(|since| events.iter().all(|(_, line)| line.time >= since))
        };
        let removed = (0..=events.len()).find(|first| may_stay(&events[*first..])).unwrap();
        if let [(_, end)] = end[..] {
            let is_before = |since: Option<Timestamp>| since.is_some_and(|since| end.time < since);
            if is_before(limits.ended_since) || (removed == events.len() && is_before(limits.since))
            {
                return Some(end.record().offset());
            }
        }
        removed.checked_sub(1).map(|last| events[last].1.record().offset())
    }

    /// The records that can still be read.
    pub(super) fn alive(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.lines.iter().filter(|line| line.alive).map(Line::record)
    }

    fn of<'a>(&'a self, topic: &'a TopicName) -> impl Iterator<Item = (usize, &'a Line)> {
        let lines = self.lines.iter().enumerate();
        lines.filter(move |(_, line)| line.alive && line.entry.topic == *topic)
    }

    /// The index of the topic's end or deletion.
    fn end(&self, topic: &TopicName) -> Option<usize> {
        self.of(topic).find(|(_, line)| !line.is_event()).map(|(at, _)| at)
    }

    pub(super) fn is_deleted(&self, topic: &TopicName) -> bool {
        self.of(topic).any(|(_, line)| line.entry.body == Body::Deleted)
    }

    pub(super) fn exists(&self, topic: &TopicName) -> bool {
        self.of(topic).any(|(_, line)| line.entry.body != Body::Deleted)
    }

    /// The state, without `removed_through` for a deleted topic.
    pub(super) fn state(&self, topic: &TopicName) -> TopicState {
        let events: Vec<_> = self.of(topic).filter(|(_, line)| line.is_event()).collect();
        let removed_through = if self.is_deleted(topic) {
            Offset::ZERO
        } else {
            let losses = self.losses.iter().filter(|loss| loss.topic == *topic);
            losses.map(|loss| loss.through).max().unwrap_or_default()
        };
        TopicState {
            events: events.len() as u64,
            bytes: events.iter().map(|(_, line)| line.entry.body.bytes() as u64).sum(),
            end: self.end(topic).map(|at| Arc::clone(self.lines[at].record())),
            removed_through,
        }
    }

    /// The matching topics that lost records above the offset `after`, with at least one loss later than `moment`.
    pub(super) fn lost(&self, filters: &Filters, after: Offset, moment: usize) -> Vec<Lost> {
        let matching = self.losses.iter().filter(|loss| filters.matches(&loss.topic));
        let topics: BTreeSet<&TopicName> = matching.map(|loss| &loss.topic).collect();
        let lost = topics.into_iter().filter(|topic| !self.is_deleted(topic)).filter_map(|topic| {
            let of_topic = self.losses.iter().filter(|loss| loss.topic == *topic);
            let losses: Vec<_> = of_topic.filter(|loss| loss.through > after).collect();
            losses.iter().find(|loss| loss.moment > moment)?;
            let first = losses.first()?.deleted;
            let one_way = losses.iter().all(|loss| loss.deleted == first);
            Some(Lost { topic: topic.clone(), deleted: one_way.then_some(first) })
        });
        lost.collect()
    }

    pub(super) fn newest_each(
        &self,
        filters: &Filters,
        count: usize,
        until: Offset,
    ) -> Vec<Offset> {
        let events = self.alive().filter(|record| {
            record.event().is_some() && record.offset() <= until && filters.matches(record.topic())
        });
        let events: Vec<_> = events.collect();
        let newer = |at: usize, topic: &TopicName| {
            events[at + 1..].iter().filter(|record| record.topic() == topic).count()
        };
        let places = events.iter().enumerate();
        let newest = places.filter(|(at, record)| newer(*at, record.topic()) < count);
        newest.map(|(_, record)| record.offset()).collect()
    }

    /// Times of some records, times between them, and a future time.
    pub(super) fn times(&self) -> BTreeSet<Timestamp> {
        let step = |time: Timestamp| Timestamp::from_micros(time.as_micros() + 1);
        let times = self.lines.iter().rev().step_by(5).map(|line| line.time);
        times.flat_map(|time| [time, step(time)]).collect()
    }
}
