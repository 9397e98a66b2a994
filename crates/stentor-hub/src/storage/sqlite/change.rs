//! What happens within one transaction that writes.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::Arc;

use rusqlite::Connection;

use super::column::{self, Columns};
use super::fault::Fault;
use super::key::Remembered;
use super::lease;
use super::ledger::Ledger;
use super::limits::Limits;
use super::row::{self, Inserts};
use super::topic::Topic;
use crate::cursor::{Cursor, Epoch, Offset};
use crate::publish::{Entry, Publish};
use crate::record::{Attributes, Body, Record};
use crate::storage::{Outcome, Trimmed};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// A transaction under way. Topics are read once, changed in memory and stored at the end.
pub(super) struct Change<'a> {
    pub(super) connection: &'a Connection,
    pub(super) limits: &'a Limits,
    pub(super) ledger: Ledger,
    epoch: Epoch,
    before: Ledger,
    inserts: Option<Inserts<'a>>,
    topics: HashMap<TopicName, Slot>,
    records: Vec<Arc<Record>>,
    trimmed: Trimmed,
    /// About how many bytes it took off the disk.
    pub(super) swept: u64,
}

/// A topic within a change.
struct Slot {
    topic: Topic,
    /// Whether it has a row, and whether that counted as empty.
    stored: bool,
    was_empty: bool,
    changed: bool,
}

/// What a change left to be published once it is committed.
pub(super) struct Changed {
    pub(super) ledger: Ledger,
    pub(super) records: Vec<Arc<Record>>,
    pub(super) trimmed: Trimmed,
    pub(super) swept: u64,
    /// Whether it left records to be taken off the disk.
    pub(super) unswept: bool,
}

impl<'a> Change<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        epoch: Epoch,
        ledger: Ledger,
        limits: &'a Limits,
    ) -> Change<'a> {
        Change {
            connection,
            limits,
            ledger,
            epoch,
            before: ledger,
            inserts: None,
            topics: HashMap::new(),
            records: Vec::new(),
            trimmed: Trimmed::default(),
            swept: 0,
        }
    }

    /// Appends publishes, each at its time and after those before it.
    pub(super) fn publish_all(
        &mut self,
        batch: impl IntoIterator<Item = (Publish, Timestamp)>,
    ) -> Result<Vec<Outcome>, Fault> {
        let mut outcomes = Vec::new();
        for (publish, time) in batch {
            outcomes.push(if publish.is_withheld(outcomes.last()) {
                Outcome::Withheld
            } else {
                self.publish(publish, time)?
            });
        }
        Ok(outcomes)
    }

    /// Appends a publish, or tells why not; then nothing of it is left behind.
    fn publish(&mut self, publish: Publish, now: Timestamp) -> Result<Outcome, Fault> {
        let remembered = match &publish.key {
            Some(key) => Remembered::find(self.connection, self.epoch, &key.to_name())?,
            None => None,
        };
        if let Some(key) = &publish.key
            && let Some(outcome) = self.repeat(key, remembered, now)?
        {
            return Ok(outcome);
        }
        // The hub lets through neither a deletion nor nothing at all.
        if publish.entries.iter().any(|entry| entry.body == Body::Deleted) {
            return Ok(Outcome::KeyReused);
        }
        if let Some((topic, end)) = self.ended(&publish.entries)? {
            return Ok(Outcome::Ended { topic, end });
        }
        let mut ids = None;
        for entry in publish.entries {
            let id = self.append(entry, now)?;
            ids = Some((ids.map_or(id, |(first, _)| first), id));
        }
        let Some(ids) = ids else { return Ok(Outcome::KeyReused) };
        if let Some(key) = &publish.key {
            self.remember(key, remembered, ids, now)?;
        }
        Ok(Outcome::Appended { first: ids.0, last: ids.1 })
    }

    /// The first entry whose topic has ended, be it by an entry before it.
    fn ended(&mut self, entries: &[Entry]) -> Result<Option<(TopicName, Cursor)>, Fault> {
        for (at, entry) in entries.iter().enumerate() {
            let slot = self.slot(&entry.topic)?;
            if let Some((offset, check)) = slot.topic.end.filter(|_| !slot.topic.deleted) {
                return Ok(Some((
                    entry.topic.clone(),
                    Cursor::event_id(self.epoch, offset, check),
                )));
            }
            let ends = |earlier: &Entry| {
                matches!(earlier.body, Body::End { .. }) && earlier.topic == entry.topic
            };
            if entries.iter().take(at).any(ends) {
                return Ok(Some((
                    entry.topic.clone(),
                    Cursor::position(self.epoch, self.ledger.tail),
                )));
            }
        }
        Ok(None)
    }

    fn append(&mut self, entry: Entry, now: Timestamp) -> Result<Cursor, Fault> {
        let Entry { topic, body, attributes } = entry;
        let (offset, time) = (self.ledger.tail.next(), self.ledger.time.max(now));
        let record = Record::new(self.epoch, offset, time, topic, body, attributes);
        let begun = self.begin(record.topic())?;
        begun.last = offset;
        if record.event().is_some() {
            begun.events += 1;
            begun.bytes += record.body().bytes() as u64;
        } else {
            begun.end = record.cursor().check.map(|check| (offset, check));
        }
        let topic = begun.id;
        self.store(record, topic)
    }

    /// Deletes a topic and returns the deletion's offset, or `None` if there is nothing to delete.
    pub(super) fn delete(
        &mut self,
        name: &TopicName,
        now: Timestamp,
    ) -> Result<Option<Offset>, Fault> {
        if self.slot(name)?.topic.is_empty() {
            return Ok(None);
        }
        let (offset, time) = (self.ledger.tail.next(), self.ledger.time.max(now));
        let record = Record::new(
            self.epoch,
            offset,
            time,
            name.clone(),
            Body::Deleted,
            Attributes::default(),
        );
        let slot = self.slot(name)?;
        let through = offset.previous();
        slot.changed = true;
        slot.topic = Topic {
            events: 0,
            bytes: 0,
            last: offset,
            end: record.cursor().check.map(|check| (offset, check)),
            deleted: true,
            removed_through: through,
            removed_by_delete: true,
            removals: 0,
            sweep_through: Some(through),
            ..slot.topic.clone()
        };
        let topic = slot.topic.id;
        self.store(record, topic)?;
        Ok(Some(offset))
    }

    /// Trims topics, each up to an offset, until a slice is used up. Tells how many of them are done.
    pub(super) fn trim_each(&mut self, topics: &[(TopicName, Offset)]) -> Result<usize, Fault> {
        let mut rows = self.limits.trim_rows;
        for (at, (name, through)) in topics.iter().enumerate() {
            rows = rows.saturating_sub(self.trim(name, *through, rows)?);
            if rows == 0 {
                return Ok(at);
            }
        }
        Ok(topics.len())
    }

    /// Removes the oldest records of a topic up to an offset, at most so many. Tells how many.
    pub(super) fn trim(
        &mut self,
        name: &TopicName,
        through: Offset,
        rows_max: u64,
    ) -> Result<u64, Fault> {
        let connection = self.connection;
        let topic = &self.slot(name)?.topic;
        if topic.deleted {
            return Ok(0);
        }
        let removed = Removal::look(connection, topic, through, rows_max)?;
        let Some(last) = removed.through else { return Ok(0) };
        self.ledger.removals += 1;
        let removals = self.ledger.removals;
        self.trimmed.events += removed.events;
        self.trimmed.bytes += removed.bytes;
        let slot = self.slot(name)?;
        slot.changed = true;
        let topic = &mut slot.topic;
        topic.events = topic.events.saturating_sub(removed.events);
        topic.bytes = topic.bytes.saturating_sub(removed.bytes);
        // The end is the last of its topic, so all of the topic is gone with it.
        topic.end = topic.end.filter(|(end, _)| *end > last);
        topic.removed_through = last;
        topic.removed_by_delete = false;
        topic.removals = removals;
        topic.sweep_through = Some(last);
        Ok(removed.rows)
    }

    /// Stores what changed in memory. Whoever owns the transaction commits it then.
    pub(super) fn finish(mut self) -> Result<Changed, Fault> {
        let mut unswept = false;
        for slot in self.topics.values().filter(|slot| slot.changed) {
            slot.topic.store(self.connection)?;
            let (before, after) = (slot.stored && slot.was_empty, slot.topic.is_empty());
            self.ledger.empty_topics += u64::from(after && !before);
            self.ledger.empty_topics =
                self.ledger.empty_topics.saturating_sub(u64::from(before && !after));
            unswept |= slot.topic.sweep_through.is_some();
        }
        self.ledger.reserve(self.limits.reserve);
        self.ledger.store(&self.before, self.connection)?;
        let Change { ledger, records, trimmed, swept, .. } = self;
        Ok(Changed { ledger, records, trimmed, swept, unswept })
    }

    /// A topic as this change sees it; one that nobody knows is empty.
    fn slot(&mut self, name: &TopicName) -> Result<&mut Slot, Fault> {
        Slot::of(name, &mut self.topics, self.connection, &self.ledger)
    }

    /// A topic that is about to get a record. A deleted one begins anew: its deletion is now a removal
    /// like any other.
    fn begin(&mut self, name: &TopicName) -> Result<&mut Topic, Fault> {
        let slot = Slot::of(name, &mut self.topics, self.connection, &self.ledger)?;
        let topic = &mut slot.topic;
        if !slot.stored && !slot.changed {
            topic.id = self.ledger.next_topic;
            self.ledger.next_topic += 1;
        }
        slot.changed = true;
        if topic.deleted
            && let Some((deletion, _)) = topic.end.take()
        {
            self.ledger.removals += 1;
            topic.deleted = false;
            topic.removed_through = deletion;
            topic.removals = self.ledger.removals;
            topic.sweep_through = Some(deletion);
        }
        Ok(topic)
    }

    /// Writes the next record.
    fn store(&mut self, record: Record, topic: i64) -> Result<Cursor, Fault> {
        let inserts = match &mut self.inserts {
            Some(inserts) => inserts,
            none => none.insert(Inserts::prepare(self.connection)?),
        };
        inserts.insert(&record, topic)?;
        if record.event().is_none() {
            lease::store(self.connection, record.topic(), None)?;
        }
        self.ledger.tail = record.offset();
        self.ledger.time = record.time();
        let id = record.cursor();
        self.records.push(Arc::new(record));
        Ok(id)
    }
}

impl Slot {
    fn of<'s>(
        name: &TopicName,
        topics: &'s mut HashMap<TopicName, Slot>,
        connection: &Connection,
        ledger: &Ledger,
    ) -> Result<&'s mut Slot, Fault> {
        match topics.entry(name.clone()) {
            MapEntry::Occupied(slot) => Ok(slot.into_mut()),
            MapEntry::Vacant(place) => {
                let found = Topic::by_name(connection, name.as_str())?;
                let stored = found.is_some();
                let topic = found.unwrap_or_else(|| Topic::new(name.clone(), ledger));
                let was_empty = topic.is_empty();
                Ok(place.insert(Slot { topic, stored, was_empty, changed: false }))
            }
        }
    }
}

/// What a trim takes from a topic.
#[derive(Default)]
struct Removal {
    rows: u64,
    events: u64,
    bytes: u64,
    through: Option<Offset>,
}

pub(super) const OLDEST_OF_TOPIC: &str = "SELECT offset, kind, bytes FROM topic_records \
                                          WHERE topic = ?1 AND offset > ?2 AND offset <= ?3 ORDER BY offset LIMIT ?4";

impl Removal {
    fn look(
        connection: &Connection,
        topic: &Topic,
        through: Offset,
        rows_max: u64,
    ) -> Result<Removal, Fault> {
        let place = format_args!("the index of the topic {:?}", topic.name.as_str());
        let mut statement = connection.prepare_cached(OLDEST_OF_TOPIC)?;
        let mut rows = statement.query([
            topic.id,
            column::offset(topic.removed_through),
            column::offset(through),
            column::number(rows_max),
        ])?;
        let mut removal = Removal::default();
        while let Some(row) = rows.next()? {
            let read = || Ok((row.offset(0)?, row.get::<_, i64>(1)?, row.number(2)?));
            let (offset, kind, bytes) = read().map_err(|error| Fault::at(place, error))?;
            removal.rows += 1;
            removal.through = Some(offset);
            if kind == row::EVENT {
                removal.events += 1;
                removal.bytes += bytes;
            }
        }
        Ok(removal)
    }
}
