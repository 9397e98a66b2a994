//! A snapshot of the log: one read transaction.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use rusqlite::Connection;

use crate::cursor::{Epoch, Offset};
use crate::record::Record;
use crate::storage::error::StorageError;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::shared_state::SharedState;
use crate::storage::sqlite::tables::record;
use crate::storage::sqlite::tables::topic::Topic;
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
            query(&Snapshot::new(&transaction, self.state.epoch, tail, removals))
        });
        result.map_err(|error| self.state.note_error(error))
    }
}

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
    /// Number of rows read. Tests check the cost of a query with it.
    rows: Cell<u64>,
}

impl<'a> Snapshot<'a> {
    /// Creates a snapshot of a transaction, up to `tail`.
    pub(crate) fn new(
        connection: &'a Connection,
        epoch: Epoch,
        tail: Offset,
        removals: u64,
    ) -> Snapshot<'a> {
        let (topics, rows) = (RefCell::default(), Cell::new(0));
        Snapshot { connection, tail, removals, epoch, topics, rows }
    }
}

impl Snapshot<'_> {
    /// Returns the readable records at these offsets, in the order of `offsets`.
    pub(crate) fn fetch(&self, offsets: &[Offset]) -> Result<Vec<Arc<Record>>, DbError> {
        let mut records = Vec::with_capacity(offsets.len());
        for offset in offsets.iter().filter(|offset| **offset <= self.tail) {
            records.extend(self.record(*offset)?);
        }
        Ok(records)
    }

    /// Returns the record at an offset if it is readable.
    pub(crate) fn record(&self, offset: Offset) -> Result<Option<Arc<Record>>, DbError> {
        let record = record::find(self.connection, self.epoch, offset, |id| {
            let topic = self.topic(id)?;
            Ok((offset > topic.removed_through).then(|| topic.name.clone()))
        });
        Ok(record?.map(Arc::new))
    }

    /// Returns the record at an offset that another table mentions. It must exist.
    pub(crate) fn expect_record(&self, offset: Offset) -> Result<Arc<Record>, DbError> {
        let missing = || DbError::Damaged(format!("the record at offset {offset} is missing"));
        self.record(offset)?.ok_or_else(missing)
    }

    /// Returns the topic with this row id.
    pub(crate) fn topic(&self, id: i64) -> Result<Rc<Topic>, DbError> {
        if let Some(topic) = self.topics.borrow().get(&id) {
            return Ok(Rc::clone(topic));
        }
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

    #[cfg(test)]
    pub(crate) fn rows(&self) -> u64 {
        self.rows.get()
    }
}
