//! A snapshot of the log: one read transaction.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use rusqlite::Connection;

use crate::cursor::{Epoch, Offset};
use crate::record::{Attributes, Body, Record};
use crate::storage::error::StorageError;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::shared_state::SharedState;
use crate::storage::sqlite::tables::record;
use crate::storage::sqlite::tables::topic::Topic;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// A connection that only reads.
pub(crate) struct ReadConnection {
    connection: Connection,
    state: Arc<SharedState>,
}

impl ReadConnection {
    pub(crate) fn new(connection: Connection, state: Arc<SharedState>) -> ReadConnection {
        ReadConnection { connection, state }
    }

    /// Runs a query in one short read transaction: its whole result is of the same moment.
    pub(crate) fn query<T>(
        &mut self,
        query: impl FnOnce(&Snapshot<'_>) -> Result<T, DbError>,
    ) -> Result<T, StorageError> {
        // Both are read before the transaction begins, removals first: the transaction then has everything up to
        // the tail, and a removal that happens in between is reported twice rather than never.
        let (removals, tail) = (self.state.removals(), self.state.tail());
        let result = self.connection.transaction().map_err(DbError::from).and_then(|transaction| {
            let snapshot = Snapshot::new(&transaction, self.state.epoch, tail, removals);
            let result = query(&snapshot);
            for place in snapshot.damaged.take() {
                self.state.damage.note(&place);
            }
            result
        });
        result.map_err(|error| self.state.note_read_error(error))
    }
}

/// Maximum number of damaged rows that one query notes.
const DAMAGED_MAX: usize = 100;
/// Reason of an end whose record is damaged.
const DAMAGED: &str = "damaged";

/// The log at one moment, as a read transaction shows it.
pub(crate) struct Snapshot<'a> {
    pub(crate) connection: &'a Connection,
    /// Records after this offset are not returned: the commit sink may not have them yet.
    pub(crate) tail: Offset,
    /// The removal count at that moment, or shortly before.
    pub(crate) removals: u64,
    epoch: Epoch,
    /// The topics read so far, by row id: at most one for each row read.
    topics: RefCell<HashMap<i64, Rc<Topic>>>,
    /// The damaged rows that this query has found.
    damaged: RefCell<Vec<String>>,
    /// Number of rows read.
    rows: Cell<u64>,
    /// Number of topics that were looked up, and of indexes of topics that were opened.
    lookups: Cell<u64>,
}

impl<'a> Snapshot<'a> {
    /// Creates a snapshot of a transaction, up to `tail`.
    pub(crate) fn new(
        connection: &'a Connection,
        epoch: Epoch,
        tail: Offset,
        removals: u64,
    ) -> Snapshot<'a> {
        let (topics, damaged) = (RefCell::default(), RefCell::default());
        let (rows, lookups) = (Cell::new(0), Cell::new(0));
        Snapshot { connection, tail, removals, epoch, topics, damaged, rows, lookups }
    }
}

impl Snapshot<'_> {
    /// Returns the record at an offset if it is readable.
    pub(crate) fn record(&self, offset: Offset) -> Result<Option<Arc<Record>>, DbError> {
        self.record_of(None, offset)
    }

    fn record_of(&self, of: Option<i64>, offset: Offset) -> Result<Option<Arc<Record>>, DbError> {
        let record = record::find(self.connection, self.epoch, offset, |id| {
            if of.is_some_and(|of| of != id) {
                return Ok(None);
            }
            let topic = self.topic(id)?;
            Ok((offset > topic.removed_through).then(|| topic.name.clone()))
        });
        Ok(record?.map(Arc::new))
    }

    /// Returns the record at an offset at which an index has one of this topic. It must exist.
    pub(crate) fn expect_record_of(
        &self,
        topic: i64,
        offset: Offset,
    ) -> Result<Arc<Record>, DbError> {
        let missing = || DbError::Damaged(format!("the record at offset {offset} is missing"));
        self.record_of(Some(topic), offset)?.ok_or_else(missing)
    }

    /// Returns the end of a topic, if it has one. In place of a damaged record it returns one with the reason
    /// `damaged`.
    pub(crate) fn end_of(&self, topic: &Topic) -> Result<Option<Arc<Record>>, DbError> {
        let Some((offset, check)) = topic.end else { return Ok(None) };
        match self.expect_record_of(topic.id, offset) {
            Err(error) if error.is_corrupt() => {
                self.note_damage(offset, Some(&topic.name));
                let body = if topic.deleted {
                    Body::Deleted
                } else {
                    Body::End { reason: DAMAGED.to_owned() }
                };
                let (name, time) = (topic.name.clone(), Timestamp::default());
                let attributes = Attributes::default();
                let end = Record::stored(self.epoch, offset, time, name, body, attributes, check);
                Ok(Some(Arc::new(end)))
            }
            record => record.map(Some),
        }
    }

    /// Notes that the record at an offset is damaged or lost.
    pub(crate) fn note_damage(&self, offset: Offset, topic: Option<&TopicName>) {
        let topic =
            topic.map_or_else(String::new, |topic| format!(" (topic {:?})", topic.as_str()));
        self.note_damaged_row(format!("the record at offset {offset}{topic}"));
    }

    /// Notes that a row is damaged.
    pub(crate) fn note_damaged_row(&self, place: String) {
        let mut damaged = self.damaged.borrow_mut();
        if damaged.len() < DAMAGED_MAX {
            damaged.push(place);
        }
    }

    /// Returns the topic with this row id.
    pub(crate) fn topic(&self, id: i64) -> Result<Rc<Topic>, DbError> {
        if let Some(topic) = self.topics.borrow().get(&id) {
            return Ok(Rc::clone(topic));
        }
        self.count_lookup();
        let topic = Rc::new(Topic::by_id(self.connection, id)?);
        Ok(self.cache(topic))
    }

    /// Returns the topic with this name, if there is one.
    pub(crate) fn topic_named(&self, name: &TopicName) -> Result<Option<Rc<Topic>>, DbError> {
        Ok(Topic::by_name(self.connection, name.as_str())?.map(|topic| self.cache(Rc::new(topic))))
    }

    fn cache(&self, topic: Rc<Topic>) -> Rc<Topic> {
        self.topics.borrow_mut().insert(topic.id, Rc::clone(&topic));
        topic
    }

    /// Counts a row that was read.
    pub(crate) fn count_row(&self) {
        self.rows.set(self.rows.get() + 1);
    }

    /// Counts a topic that was looked up, or an index of a topic that was opened.
    pub(crate) fn count_lookup(&self) {
        self.lookups.set(self.lookups.get() + 1);
    }

    /// Number of rows and lookups so far: the cost of a step.
    pub(crate) fn work(&self) -> u64 {
        self.rows.get() + self.lookups.get()
    }

    #[cfg(test)]
    pub(crate) fn rows(&self) -> u64 {
        self.rows.get()
    }
}
