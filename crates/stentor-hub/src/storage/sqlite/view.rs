//! The log as it was at one moment.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use rusqlite::Connection;

use super::fault::Fault;
use super::row;
use super::shared::Shared;
use super::topic::Topic;
use crate::cursor::{Epoch, Offset};
use crate::record::Record;
use crate::storage::{StorageError, TopicState};
use crate::topic::TopicName;

/// A connection that reads.
pub(super) struct Reader {
    connection: Connection,
    shared: Arc<Shared>,
}

impl Reader {
    pub(super) fn new(connection: Connection, shared: Arc<Shared>) -> Reader {
        Reader { connection, shared }
    }

    /// Answers a question within one short read transaction, so that all of the answer is from the same
    /// moment.
    pub(super) fn view<T>(
        &mut self,
        question: impl FnOnce(&View<'_>) -> Result<T, Fault>,
    ) -> Result<T, StorageError> {
        // In this order: what is below the tail is then in the transaction, and a removal that comes in
        // between is told once too often rather than never.
        let (removals, tail) = (self.shared.removals(), self.shared.tail());
        let answer = self.connection.transaction().map_err(Fault::from).and_then(|transaction| {
            question(&View::at(&transaction, self.shared.epoch, tail, removals))
        });
        answer.map_err(|fault| self.shared.judge(fault))
    }
}

/// One moment of the log, seen through a read transaction.
pub(super) struct View<'a> {
    pub(super) connection: &'a Connection,
    /// Nothing beyond this is shown, for the feed may not have it yet.
    pub(super) tail: Offset,
    /// The count of removals at that moment, or a little before.
    pub(super) removals: u64,
    epoch: Epoch,
    /// The topics met so far, by row: at most one for each row looked at.
    topics: RefCell<HashMap<i64, Rc<Topic>>>,
    /// How many rows were looked at.
    rows: Cell<u64>,
}

impl<'a> View<'a> {
    /// What a transaction shows up to a tail.
    pub(super) fn at(
        connection: &'a Connection,
        epoch: Epoch,
        tail: Offset,
        removals: u64,
    ) -> View<'a> {
        let (topics, rows) = (RefCell::default(), Cell::new(0));
        View { connection, tail, removals, epoch, topics, rows }
    }
}

impl View<'_> {
    /// The records at these offsets that can still be read, in the order asked.
    pub(super) fn fetch(&self, offsets: &[Offset]) -> Result<Vec<Arc<Record>>, Fault> {
        let mut records = Vec::with_capacity(offsets.len());
        for offset in offsets.iter().filter(|offset| **offset <= self.tail) {
            records.extend(self.record(*offset)?);
        }
        Ok(records)
    }

    /// The record at an offset, if there is one that can be read.
    pub(super) fn record(&self, offset: Offset) -> Result<Option<Arc<Record>>, Fault> {
        let record = row::find(self.connection, self.epoch, offset, |id| {
            let topic = self.topic(id)?;
            Ok((offset > topic.removed_through).then(|| topic.name.clone()))
        });
        Ok(record?.map(Arc::new))
    }

    /// The topic in a row.
    pub(super) fn topic(&self, id: i64) -> Result<Rc<Topic>, Fault> {
        if let Some(topic) = self.topics.borrow().get(&id) {
            return Ok(Rc::clone(topic));
        }
        let topic = Rc::new(Topic::by_id(self.connection, id)?);
        Ok(self.meet(topic))
    }

    /// The topic of a name.
    pub(super) fn topic_named(&self, name: &TopicName) -> Result<Option<Rc<Topic>>, Fault> {
        Ok(Topic::by_name(self.connection, name.as_str())?.map(|topic| self.meet(Rc::new(topic))))
    }

    fn meet(&self, topic: Rc<Topic>) -> Rc<Topic> {
        self.topics.borrow_mut().insert(topic.id, Rc::clone(&topic));
        topic
    }

    /// Counts a row that was looked at.
    pub(super) fn count_row(&self) {
        self.rows.set(self.rows.get() + 1);
    }

    #[cfg(test)]
    pub(super) fn rows(&self) -> u64 {
        self.rows.get()
    }

    /// The states of topics, in the order asked.
    pub(super) fn states(&self, names: &[TopicName]) -> Result<Vec<TopicState>, Fault> {
        names.iter().map(|name| self.state(name)).collect()
    }

    fn state(&self, name: &TopicName) -> Result<TopicState, Fault> {
        let Some(topic) = self.topic_named(name)? else {
            return Ok(TopicState { removed_through: self.floor()?, ..TopicState::default() });
        };
        let end = match topic.end {
            Some((offset, _)) => Some(self.record(offset)?.ok_or_else(|| View::missing(offset))?),
            None => None,
        };
        let (events, bytes, removed_through) = (topic.events, topic.bytes, topic.removed_through);
        Ok(TopicState { events, bytes, end, removed_through })
    }

    /// An index names a record that is not there.
    pub(super) fn missing(offset: Offset) -> Fault {
        Fault::Damaged(format!("the record at offset {offset} is missing"))
    }
}
