//! The content of the log in memory, and the changes to it.

pub(super) mod queries;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use super::found_losses::FoundLosses;
use super::keys::{Keys, Row};
use super::leases::Leases;
use super::topic::{Removal, Topic};
use crate::cursor::{Cursor, Epoch, Offset};
use crate::key::{Key, KeyLimits, KeyName, StoredKey};
use crate::lease::LeaseChange;
use crate::publish::{Entry, Publish};
use crate::record::{Attributes, Body, Record};
use crate::storage::clock::{LogClock, LogTime, Reading};
use crate::storage::forgotten::{Forgotten, Loss};
use crate::storage::live_window::{LiveWindow, Window};
use crate::storage::result::{Outcome, Trimmed};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// Maximum number of empty topics whose `removed_through` is known by name. Beyond that, the topics that have been
/// empty for the longest time are forgotten, see [`Forgotten`].
pub(super) const EMPTY_TOPICS_MAX: usize = 10_000;

pub(super) struct Log {
    epoch: Epoch,
    bytes_max: usize,
    /// The records. The hub reads the newest of them as its live window.
    records: LiveWindow,
    /// Records appended by the current change, for the sink.
    pub(super) appended: Vec<Arc<Record>>,
    pub(super) tail: Offset,
    time: Timestamp,
    clock: LogClock,
    topics: BTreeMap<TopicName, Topic>,
    /// Topics in the order in which they became empty. Some may have been used again since.
    empty_topics: VecDeque<TopicName>,
    /// The losses of topics that are no longer known by name.
    forgotten: Forgotten,
    /// All of them together.
    floor: Loss,
    /// The searches for losses that wait for their next step, by number.
    pub(super) searches: HashMap<u64, FoundLosses>,
    last_search: u64,
    pub(super) removals: u64,
    pub(super) trimmed: Trimmed,
    pub(super) keys: Keys,
    pub(super) leases: Leases,
    /// Changes of leases by the current change, for the sink.
    pub(super) lease_changes: Vec<LeaseChange>,
}

impl Log {
    pub(super) fn new(epoch: Epoch, bytes_max: usize, keys: KeyLimits) -> Log {
        Log {
            epoch,
            bytes_max,
            records: LiveWindow::of_log(),
            appended: Vec::new(),
            tail: Offset::ZERO,
            time: Timestamp::default(),
            topics: BTreeMap::new(),
            empty_topics: VecDeque::new(),
            forgotten: Forgotten::default(),
            floor: Loss::default(),
            searches: HashMap::new(),
            last_search: 0,
            removals: 0,
            trimmed: Trimmed::default(),
            clock: LogClock::default(),
            keys: Keys::new(keys),
            leases: Leases::default(),
            lease_changes: Vec::new(),
        }
    }

    /// Appends a batch by the rules of [`Storage::append`](crate::storage::Storage::append).
    pub(super) fn publish_all(&mut self, batch: Vec<Publish>, time: Timestamp) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for publish in batch {
            outcomes.push(if publish.is_withheld(outcomes.last()) {
                Outcome::Withheld
            } else {
                self.publish(publish, time)
            });
        }
        outcomes
    }

    pub(super) fn publish(&mut self, publish: Publish, time: Timestamp) -> Outcome {
        let key_time = publish.key.as_ref().map(|_| self.key_time(time)).unwrap_or_default();
        if let Some(key) = &publish.key
            && let Some(outcome) = self.check_key(key, &publish.entries, key_time)
        {
            self.change_lease_of_repeat(&publish, &outcome);
            return outcome;
        }
        // `Publish::validate` refuses deletions and empty publishes before they get here, except to renew a key.
        if publish.entries.iter().any(|entry| matches!(entry.body, Body::Deleted)) {
            return Outcome::KeyReused;
        }
        if let Some((topic, end)) = self.ended(&publish.entries) {
            return Outcome::Ended { topic, end };
        }
        if let Some(lease) = &publish.lease
            && let Some(refused) = self.refuse_lease(lease, &publish)
        {
            return refused;
        }
        if let Some(key) = &publish.key
            && let Some(refused) = self.keys.refuse(key, key_time)
        {
            return Outcome::TooManyKeys(refused);
        }
        if let Some(lease) = &publish.lease {
            self.change_lease(lease);
            if publish.entries.is_empty() {
                return Outcome::LeaseChanged;
            }
        }
        let mut ids = publish.entries.into_iter().map(|entry| self.append(entry, time));
        let Some(first) = ids.next() else { return Outcome::KeyReused };
        let last = ids.last().unwrap_or(first);
        if let Some(key) = &publish.key {
            self.keys.store(key, first, last, key_time);
        }
        Outcome::Appended { first, last }
    }

    /// Returns the outcome of a publish under a key, or `None` if the publish is to be appended.
    fn check_key(&mut self, key: &Key, entries: &[Entry], time: Timestamp) -> Option<Outcome> {
        let outcome = self.keys.check(key, time);
        if outcome.is_some() || self.keys.row(&key.to_name(), time).is_some() {
            return outcome;
        }
        let stored = match &key.scope {
            Some(topic) => self.batch_with(topic, key, time),
            None => entries.iter().find_map(|entry| {
                let scope = Some(entry.topic.clone());
                self.keys.row(&KeyName { scope, ..key.to_name() }, time)
            }),
        };
        stored.map(|row| key.check_overlap(row.stored()))
    }

    /// Returns the batch over several topics under a key, if it may have a record of this topic.
    fn batch_with(&self, topic: &TopicName, key: &Key, time: Timestamp) -> Option<&Row> {
        let batch = self.keys.row(&KeyName { scope: None, ..key.to_name() }, time)?;
        let StoredKey { first, last, .. } = batch.stored();
        let removed_through = match self.topics.get(topic) {
            Some(topic) => topic.removed.through,
            None => self.forgotten.of_name(topic.as_str()).through,
        };
        let is_within =
            |record: &Arc<Record>| (first.offset..=last.offset).contains(&record.offset());
        let overlaps = removed_through >= first.offset
            || self.records.read_lock().ring.of_topic(topic).rev().any(is_within);
        overlaps.then_some(batch)
    }

    /// The time by which keys expire.
    fn key_time(&mut self, now: Timestamp) -> Timestamp {
        self.clock.key_time(self.time, Reading::at(now))
    }

    /// See [`Storage::log_time`](crate::storage::Storage::log_time).
    pub(super) fn log_time(&mut self, now: Timestamp) -> LogTime {
        self.clock.log_time(self.time, Reading::at(now))
    }

    /// Returns the reason why a topic cannot get this lease.
    fn refuse_lease(&self, lease: &LeaseChange, publish: &Publish) -> Option<Outcome> {
        lease.length?;
        if let Some(end) = self.end(&lease.topic) {
            return Some(Outcome::Ended { topic: lease.topic.clone(), end: end.cursor() });
        }
        let has_room = self.leases.has_room_for(&lease.topic) || publish.ends(&lease.topic);
        (!has_room).then_some(Outcome::TooManyLeases)
    }

    /// Changes the lease of a repeat, if its topic is still in use.
    fn change_lease_of_repeat(&mut self, publish: &Publish, outcome: &Outcome) {
        let Some(lease) = &publish.lease else { return };
        let is_open = |topic: &Topic| topic.events > 0 && topic.end.is_none();
        if matches!(outcome, Outcome::Repeat { .. })
            && !publish.ends(&lease.topic)
            && self.topics.get(&lease.topic).is_some_and(is_open)
            && (lease.length.is_none() || self.leases.has_room_for(&lease.topic))
        {
            self.change_lease(lease);
        }
    }

    fn change_lease(&mut self, change: &LeaseChange) {
        self.leases.change(change);
        self.lease_changes.push(change.clone());
    }

    /// The end of a topic; `None` if it has not ended, or is deleted.
    fn end(&self, name: &TopicName) -> Option<&Arc<Record>> {
        self.topics.get(name).filter(|topic| !topic.is_deleted())?.end.as_ref()
    }

    /// Returns the first entry whose topic has ended, in the log or by an earlier entry, with the id of the end.
    fn ended(&self, entries: &[Entry]) -> Option<(TopicName, Cursor)> {
        entries.iter().enumerate().find_map(|(at, entry)| {
            let end = self.end(&entry.topic);
            let within = entries.iter().take(at).any(|earlier| {
                earlier.topic == entry.topic && matches!(earlier.body, Body::End { .. })
            });
            match end {
                Some(end) => Some((entry.topic.clone(), end.cursor())),
                None if within => {
                    Some((entry.topic.clone(), Cursor::position(self.epoch, self.tail)))
                }
                None => None,
            }
        })
    }

    fn append(&mut self, entry: Entry, time: Timestamp) -> Cursor {
        let Entry { topic: name, body, attributes } = entry;
        let record = self.record(name, body, attributes, time);
        let id = record.cursor();
        // One lock for both steps of a full log.
        let mut records = self.records.write();
        records.append(Arc::clone(&record));
        let mut oldest = pop_beyond(&mut records, self.bytes_max);
        let is_full = records.ring.bytes() > self.bytes_max;
        drop(records);
        self.appended.push(record);
        while let Some(record) = oldest {
            self.note_removed(&record);
            oldest =
                if is_full { pop_beyond(&mut self.records.write(), self.bytes_max) } else { None };
        }
        id
    }

    /// Creates the next record and counts it in its topic.
    fn record(
        &mut self,
        name: TopicName,
        body: Body,
        attributes: Attributes,
        time: Timestamp,
    ) -> Arc<Record> {
        self.tail = self.tail.next();
        self.time = self.time.max(time);
        let topic = if let Some(topic) = self.topics.get_mut(&name) {
            topic
        } else {
            // The name is unknown, so it may be a forgotten one.
            let mut loss = Loss::default();
            if self.floor.through > Offset::ZERO {
                loss = self.forgotten.of_name(name.as_str());
            }
            let Loss { through, removals: count } = loss;
            let removed = Removal { through, by_delete: false, count };
            self.topics.entry(name.clone()).or_insert_with(|| Topic::new(name, removed))
        };
        let name = topic.name.clone();
        let record =
            Arc::new(Record::new(self.epoch, self.tail, self.time, name, body, attributes));
        // A deleted topic is used again: its deletion becomes a removal.
        if let Some(deletion) = topic.end.take_if(|end| end.is_deletion()) {
            self.removals += 1;
            let through = deletion.offset();
            topic.removed = Removal { through, by_delete: true, count: self.removals };
            for search in self.searches.values_mut() {
                search.note(&topic.name, topic.removed);
            }
            self.records.write().trim(record.topic(), through);
        }
        if record.event().is_some() {
            topic.events += 1;
            topic.bytes += record.body().bytes() as u64;
        } else {
            topic.end = Some(Arc::clone(&record));
            if self.leases.remove(record.topic()) {
                let topic = record.topic().clone();
                self.lease_changes.push(LeaseChange { topic, length: None });
            }
        }
        record
    }

    /// Counts a record that a trim removed from the ring.
    fn note_removed(&mut self, record: &Arc<Record>) {
        self.removals += 1;
        let Some(topic) = self.topics.get_mut(record.topic()) else { return };
        topic.removed = Removal {
            through: record.offset(),
            by_delete: record.is_deletion(),
            count: self.removals,
        };
        for search in self.searches.values_mut() {
            search.note(&topic.name, topic.removed);
        }
        if record.event().is_some() {
            let bytes = record.body().bytes() as u64;
            topic.events = topic.events.saturating_sub(1);
            topic.bytes = topic.bytes.saturating_sub(bytes);
            self.trimmed.events += 1;
            self.trimmed.bytes += bytes;
        } else {
            // An end is the last record of its topic, so the topic is empty now.
            topic.end = None;
        }
        if topic.events == 0 && topic.end.is_none() {
            self.note_empty(record.topic().clone());
        }
    }

    fn note_empty(&mut self, name: TopicName) {
        self.empty_topics.push_back(name);
        while self.empty_topics.len() > EMPTY_TOPICS_MAX {
            let Some(name) = self.empty_topics.pop_front() else { return };
            if let Some(topic) = self.topics.get(&name)
                && topic.events == 0
                && topic.end.is_none()
            {
                let Removal { through, count: removals, .. } = topic.removed;
                let loss = Loss { through, removals };
                self.floor = self.floor.and(loss);
                self.forgotten.add(name.as_str(), loss);
                self.topics.remove(&name);
            }
        }
    }

    pub(super) fn trim(&mut self, name: &TopicName, through: Offset) {
        let Some(topic) = self.topics.get(name) else { return };
        if topic.is_deleted() {
            return;
        }
        // The end has the highest offset of its topic, so it is removed only after all events.
        let removed = self.records.write().trim(name, through);
        for record in removed {
            self.note_removed(&record);
        }
    }

    pub(super) fn delete(&mut self, name: &TopicName, time: Timestamp) -> Option<Offset> {
        let topic = self.topics.get_mut(name)?;
        if topic.is_deleted() || (topic.events == 0 && topic.end.is_none()) {
            return None;
        }
        let removed = Removal { through: self.tail, by_delete: true, count: self.removals };
        *topic = Topic::new(topic.name.clone(), removed);
        self.records.write().remove(name, self.tail);
        let record = self.record(name.clone(), Body::Deleted, Attributes::default(), time);
        self.records.write().append(Arc::clone(&record));
        self.appended.push(Arc::clone(&record));
        Some(record.offset())
    }

    /// Begins a live window of about `bytes` bytes at the tail.
    pub(super) fn live_window(&self, bytes: usize) -> LiveWindow {
        self.records.begin(self.tail, bytes);
        self.records.clone()
    }
}

/// Removes the oldest record if the records take more than `bytes_max` bytes. The newest record stays.
fn pop_beyond(records: &mut Window, bytes_max: usize) -> Option<Arc<Record>> {
    if records.ring.bytes() > bytes_max { records.pop_unless_last() } else { None }
}
