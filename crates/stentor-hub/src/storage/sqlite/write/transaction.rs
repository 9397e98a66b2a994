//! A write transaction: appends and deletions.

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::Arc;

use rusqlite::Connection;

use super::key_sources::{KeySources, SourceCount};
use super::keys::Keys;
use crate::cursor::{Cursor, Epoch, Offset};
use crate::key::{Key, KeyName};
use crate::lease::LeaseChange;
use crate::publish::{Entry, Publish};
use crate::record::{Attributes, Body, Record};
use crate::storage::result::{Outcome, Trimmed};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::tables::key::{KeyRow, KeyRows};
use crate::storage::sqlite::tables::log::LogState;
use crate::storage::sqlite::tables::record::Inserts;
use crate::storage::sqlite::tables::topic::{self, Topic};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// An open write transaction. It reads each topic once, changes it in memory and stores it at the end.
pub(crate) struct WriteTransaction<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) limits: &'a Limits,
    /// The state of the log with the changes of this transaction.
    pub(crate) log: LogState,
    /// Events and bytes trimmed by this transaction.
    pub(crate) trimmed: Trimmed,
    /// Approximate number of bytes purged by this transaction.
    pub(crate) purged: u64,
    /// Changes of leases by this transaction.
    pub(super) leases: Vec<LeaseChange>,
    /// Damaged rows that this transaction has passed over.
    pub(super) damaged: Vec<String>,
    pub(super) keys: Keys<'a>,
    pub(super) epoch: Epoch,
    log_before: LogState,
    inserts: Option<Inserts<'a>>,
    topics: HashMap<TopicName, CachedTopic>,
    records: Vec<Arc<Record>>,
}

/// A topic in memory.
struct CachedTopic {
    topic: Topic,
    /// `true` if the topic has a row.
    stored: bool,
    /// `true` if the topic was empty before this transaction.
    was_empty: bool,
    changed: bool,
}

/// The result of a transaction, which becomes visible once it is committed.
pub(crate) struct Changes {
    pub(crate) log: LogState,
    pub(crate) records: Vec<Arc<Record>>,
    pub(crate) leases: Vec<LeaseChange>,
    pub(crate) damaged: Vec<String>,
    pub(crate) trimmed: Trimmed,
    pub(crate) purged: u64,
    /// The changed counts of publisher addresses.
    pub(crate) sources: HashMap<i64, SourceCount>,
    /// `true` if removed records are left to be purged.
    pub(crate) to_purge: bool,
}

impl<'a> WriteTransaction<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        epoch: Epoch,
        log: LogState,
        limits: &'a Limits,
        key_time: Timestamp,
        sources: &'a KeySources,
    ) -> WriteTransaction<'a> {
        WriteTransaction {
            connection,
            limits,
            log,
            trimmed: Trimmed::default(),
            purged: 0,
            leases: Vec::new(),
            damaged: Vec::new(),
            keys: Keys::new(connection, limits.keys, key_time, sources),
            epoch,
            log_before: log,
            inserts: None,
            topics: HashMap::new(),
            records: Vec::new(),
        }
    }

    /// Appends publishes in order, each with its time.
    pub(crate) fn publish_all(
        &mut self,
        batch: impl IntoIterator<Item = (Publish, Timestamp)>,
    ) -> Result<Vec<Outcome>, DbError> {
        let mut outcomes = Vec::new();
        for (publish, time) in batch {
            outcomes.push(if publish.is_withheld(outcomes.last()) {
                Outcome::Withheld
            } else {
                self.publish_or_refuse(publish, time)?
            });
        }
        Ok(outcomes)
    }

    /// Publishes, and refuses the publish alone if a row that it needs is damaged. Damage that is found after the first
    /// change fails the whole transaction.
    fn publish_or_refuse(&mut self, publish: Publish, now: Timestamp) -> Result<Outcome, DbError> {
        let before = (self.records.len(), self.leases.len());
        match self.publish(publish, now) {
            Err(DbError::Damaged(reason)) if before == (self.records.len(), self.leases.len()) => {
                Ok(Outcome::Damaged { reason })
            }
            result => result,
        }
    }

    /// Appends all entries of a publish, or none. Returns the ids, or the reason why nothing was appended.
    fn publish(&mut self, publish: Publish, now: Timestamp) -> Result<Outcome, DbError> {
        let rows = match &publish.key {
            Some(key) => self.key_rows(key, key.scope.as_ref())?,
            None => KeyRows::default(),
        };
        if let Some(key) = &publish.key
            && let Some(outcome) = self.check_key(key, &rows, &publish.entries)?
        {
            if matches!(outcome, Outcome::Repeat { .. }) {
                self.change_lease_of_repeat(&publish)?;
            }
            return Ok(outcome);
        }
        // The hub never passes a deletion or an empty publish.
        if publish.entries.iter().any(|entry| entry.body == Body::Deleted) {
            return Ok(Outcome::KeyReused);
        }
        if let Some((topic, end)) = self.ended(&publish.entries)? {
            return Ok(Outcome::Ended { topic, end });
        }
        if let Some(lease) = &publish.lease
            && let Some(refused) = self.refuse_lease(lease, &publish)?
        {
            return Ok(refused);
        }
        if let Some(key) = &publish.key
            && let Some(refused) = self.keys.refuse(&mut self.log, key, &rows)?
        {
            return Ok(Outcome::TooManyKeys(refused));
        }
        if let Some(lease) = &publish.lease {
            self.change_lease(lease)?;
            if publish.entries.is_empty() {
                return Ok(Outcome::LeaseChanged);
            }
        }
        let mut ids = None;
        for entry in publish.entries {
            let id = self.append(entry, now)?;
            ids = Some((ids.map_or(id, |(first, _)| first), id));
        }
        let Some(ids) = ids else { return Ok(Outcome::KeyReused) };
        if let Some(key) = &publish.key {
            self.keys.remember(&mut self.log, key, &rows, ids)?;
        }
        Ok(Outcome::Appended { first: ids.0, last: ids.1 })
    }

    /// Returns the outcome of a publish under a key, or `None` if the publish is to be appended.
    fn check_key(
        &mut self,
        key: &Key,
        rows: &KeyRows,
        entries: &[Entry],
    ) -> Result<Option<Outcome>, DbError> {
        if let Some(outcome) = self.keys.check(key, rows)? {
            return Ok(Some(outcome));
        }
        if rows.unexpired(self.keys.time()).is_some() {
            return Ok(None);
        }
        let stored = match &key.scope {
            Some(topic) => self.batch_with(topic, key)?,
            None => self.key_of_topic(entries, key)?,
        };
        Ok(stored.map(|row| key.check_overlap(row.stored)))
    }

    /// Returns the batch over several topics under a key, if it may have a record of this topic.
    fn batch_with(&mut self, topic: &TopicName, key: &Key) -> Result<Option<KeyRow>, DbError> {
        let rows = self.key_rows(key, None)?;
        let Some(batch) = rows.unexpired(self.keys.time()) else { return Ok(None) };
        let (first, last) = (batch.stored.first.offset, batch.stored.last.offset);
        let connection = self.connection;
        let topic = self.topic(topic)?;
        let overlaps =
            topic.removed_through >= first || topic.has_record(connection, first, last)?;
        Ok(overlaps.then_some(batch))
    }

    /// Returns the publish under a key to one of the topics of a batch.
    fn key_of_topic(&self, entries: &[Entry], key: &Key) -> Result<Option<KeyRow>, DbError> {
        let mut checked = HashSet::new();
        for entry in entries.iter().filter(|entry| checked.insert(&entry.topic)) {
            let rows = self.key_rows(key, Some(&entry.topic))?;
            if let Some(row) = rows.unexpired(self.keys.time()) {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Reads the rows of a key in a scope.
    fn key_rows(&self, key: &Key, scope: Option<&TopicName>) -> Result<KeyRows, DbError> {
        let name = KeyName { scope: scope.cloned(), ..key.to_name() };
        KeyRows::find(self.connection, self.epoch, &name, key.is_of_upload())
    }

    /// Returns the topic and end of the first entry whose topic has ended. An earlier entry of the publish may end it.
    fn ended(&mut self, entries: &[Entry]) -> Result<Option<(TopicName, Cursor)>, DbError> {
        for (at, entry) in entries.iter().enumerate() {
            let topic = self.topic(&entry.topic)?;
            if let Some((offset, check)) = topic.end.filter(|_| !topic.deleted) {
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
                    Cursor::position(self.epoch, self.log.tail),
                )));
            }
        }
        Ok(None)
    }

    fn append(&mut self, entry: Entry, now: Timestamp) -> Result<Cursor, DbError> {
        let Entry { topic, body, attributes } = entry;
        let (offset, time) = (self.log.tail.next(), self.log.time.max(now));
        let record = Record::new(self.epoch, offset, time, topic, body, attributes);
        let topic = self.topic_to_append(record.topic())?;
        let prev = mem::replace(&mut topic.last, offset);
        if record.event().is_some() {
            topic.events += 1;
            topic.bytes += record.body().bytes() as u64;
        } else {
            topic.end = record.cursor().check.map(|check| (offset, check));
        }
        let id = topic.id;
        self.insert(record, id, prev)
    }

    /// Deletes a topic. Returns the offset of the deletion, or `None` if the topic is empty.
    pub(crate) fn delete(
        &mut self,
        name: &TopicName,
        now: Timestamp,
    ) -> Result<Option<Offset>, DbError> {
        if self.topic(name)?.is_empty() {
            return Ok(None);
        }
        let (offset, time) = (self.log.tail.next(), self.log.time.max(now));
        let record = Record::new(
            self.epoch,
            offset,
            time,
            name.clone(),
            Body::Deleted,
            Attributes::default(),
        );
        let topic = self.topic_mut(name)?;
        let (through, prev) = (offset.previous(), topic.last);
        *topic = Topic {
            events: 0,
            bytes: 0,
            last: offset,
            end: record.cursor().check.map(|check| (offset, check)),
            deleted: true,
            removed_through: through,
            removed_by_delete: true,
            removals: 0,
            purge_through: Some(through),
            ..topic.clone()
        };
        let id = topic.id;
        self.insert(record, id, prev)?;
        Ok(Some(offset))
    }

    /// Stores the changed topics and the state of the log. The caller commits the transaction.
    pub(crate) fn finish(mut self) -> Result<Changes, DbError> {
        let mut to_purge = false;
        for cached in self.topics.values().filter(|cached| cached.changed) {
            cached.topic.store(self.connection)?;
            if !cached.stored {
                topic::link(self.connection, &cached.topic)?;
            }
            let (before, after) = (cached.stored && cached.was_empty, cached.topic.is_empty());
            self.log.empty_topics += u64::from(after && !before);
            self.log.empty_topics =
                self.log.empty_topics.saturating_sub(u64::from(before && !after));
            to_purge |= cached.topic.purge_through.is_some();
        }
        self.log.reserve(self.limits.reserve);
        self.log.store(&self.log_before, self.connection)?;
        let WriteTransaction { log, records, leases, damaged, trimmed, purged, keys, .. } = self;
        let sources = keys.into_changes();
        Ok(Changes { log, records, leases, damaged, trimmed, purged, sources, to_purge })
    }

    /// Returns a topic as this transaction sees it. An unknown topic is empty.
    pub(crate) fn topic(&mut self, name: &TopicName) -> Result<&Topic, DbError> {
        Ok(&CachedTopic::get(name, &mut self.topics, self.connection, &self.log)?.topic)
    }

    /// Returns a topic that this transaction changes.
    pub(crate) fn topic_mut(&mut self, name: &TopicName) -> Result<&mut Topic, DbError> {
        let cached = CachedTopic::get(name, &mut self.topics, self.connection, &self.log)?;
        cached.changed = true;
        Ok(&mut cached.topic)
    }

    /// Returns a topic that is about to get a record. If it was deleted, the deletion becomes a removal like any
    /// other.
    fn topic_to_append(&mut self, name: &TopicName) -> Result<&mut Topic, DbError> {
        let cached = CachedTopic::get(name, &mut self.topics, self.connection, &self.log)?;
        let topic = &mut cached.topic;
        if !cached.stored && !cached.changed {
            topic.id = self.log.next_topic;
            self.log.next_topic += 1;
        }
        cached.changed = true;
        if topic.deleted
            && let Some((deletion, _)) = topic.end.take()
        {
            self.log.removals += 1;
            topic.deleted = false;
            topic.removed_through = deletion;
            topic.removals = self.log.removals;
            topic.purge_through = Some(deletion);
        }
        Ok(topic)
    }

    /// Inserts the next record.
    fn insert(&mut self, record: Record, topic: i64, prev: Offset) -> Result<Cursor, DbError> {
        let inserts = match &mut self.inserts {
            Some(inserts) => inserts,
            none => none.insert(Inserts::prepare(self.connection)?),
        };
        inserts.insert(&record, topic, prev)?;
        if record.event().is_none() {
            self.remove_lease(record.topic())?;
        }
        self.log.tail = record.offset();
        self.log.time = record.time();
        let id = record.cursor();
        self.records.push(Arc::new(record));
        Ok(id)
    }
}

impl CachedTopic {
    /// Returns a topic from the cache, and reads it first if it is not there.
    fn get<'t>(
        name: &TopicName,
        topics: &'t mut HashMap<TopicName, CachedTopic>,
        connection: &Connection,
        log: &LogState,
    ) -> Result<&'t mut CachedTopic, DbError> {
        match topics.entry(name.clone()) {
            MapEntry::Occupied(cached) => Ok(cached.into_mut()),
            MapEntry::Vacant(vacant) => {
                let found = Topic::by_name(connection, name.as_str())?;
                let stored = found.is_some();
                let topic = match found {
                    Some(topic) => topic,
                    None => Topic::new(name.clone(), log, connection)?,
                };
                let was_empty = topic.is_empty();
                Ok(vacant.insert(CachedTopic { topic, stored, was_empty, changed: false }))
            }
        }
    }
}
