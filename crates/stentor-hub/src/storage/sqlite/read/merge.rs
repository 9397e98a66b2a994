//! Merges the indexes of several topics into log order.

use std::collections::{BinaryHeap, VecDeque};

use rusqlite::Connection;

use crate::cursor::Offset;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::topic::Topic;

pub(crate) const OLDEST: &str = "SELECT offset, bytes FROM topic_records \
                                 WHERE topic = ?1 AND offset > ?2 AND offset <= ?3 ORDER BY offset LIMIT ?4";
pub(crate) const NEWEST_EVENTS: &str = "SELECT offset, bytes FROM topic_records \
                                        WHERE topic = ?1 AND offset > ?2 AND offset <= ?3 AND kind = 0 \
                                        ORDER BY offset DESC LIMIT ?4";

/// Order of a merge, and the records it includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// All records, oldest first.
    Oldest,
    /// Events only, newest first.
    NewestEvents,
}

/// An entry of the index: a record of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) topic: i64,
    pub(crate) offset: Offset,
    pub(crate) bytes: u64,
}

/// Merges the indexes of topics.
///
/// Each is read in chunks, which grow as more of it is read. So both a few records of many topics and many
/// records of a few topics are cheap.
pub(crate) struct Merge<'a> {
    connection: &'a Connection,
    order: Order,
    sources: Vec<Source>,
    /// The next entry of each source: its rank in the order, and the number of the source.
    heads: BinaryHeap<(i64, usize)>,
    last: Option<Offset>,
}

struct Source {
    topic: i64,
    /// Entries after this offset and up to `until` are not read yet.
    after: Offset,
    until: Offset,
    chunk: VecDeque<Entry>,
    chunk_rows: u64,
    is_last: bool,
}

impl<'a> Merge<'a> {
    const CHUNK_MIN: u64 = 4;
    const CHUNK_MAX: u64 = 256;

    pub(crate) fn new(connection: &'a Connection, order: Order) -> Merge<'a> {
        Merge { connection, order, sources: Vec::new(), heads: BinaryHeap::new(), last: None }
    }

    /// Adds the readable records of a topic after one offset, up to and including another.
    pub(crate) fn add(
        &mut self,
        topic: &Topic,
        after: Offset,
        until: Offset,
    ) -> Result<(), DbError> {
        self.add_all(topic.id, after.max(topic.removed_through), until)
    }

    /// Adds the records of a topic after one offset, up to and including another, removed ones too.
    pub(crate) fn add_all(
        &mut self,
        topic: i64,
        after: Offset,
        until: Offset,
    ) -> Result<(), DbError> {
        let mut source = Source {
            topic,
            after,
            until,
            chunk: VecDeque::new(),
            chunk_rows: Self::CHUNK_MIN,
            is_last: false,
        };
        if let Some(entry) = source.next(self.connection, self.order)? {
            source.chunk.push_front(entry);
            self.heads.push((self.rank(entry), self.sources.len()));
            self.sources.push(source);
        }
        Ok(())
    }

    /// Returns the next entry in the order. A record of several topics is returned once.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, DbError> {
        while let Some(entry) = self.next_of_any()? {
            if self.last.replace(entry.offset) != Some(entry.offset) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Returns the next entry in the order. A record of several topics is returned once for each.
    pub(crate) fn next_of_any(&mut self) -> Result<Option<Entry>, DbError> {
        while let Some((_, at)) = self.heads.pop() {
            let Some(source) = self.sources.get_mut(at) else { continue };
            let Some(entry) = source.chunk.pop_front() else { continue };
            if let Some(next) = source.next(self.connection, self.order)? {
                source.chunk.push_front(next);
                self.heads.push((self.rank(next), at));
            }
            return Ok(Some(entry));
        }
        Ok(None)
    }

    /// Returns `true` if the merge has more entries of a topic.
    pub(crate) fn has_more(&self, topic: i64) -> bool {
        let of_it = |at: usize| self.sources.get(at).is_some_and(|source| source.topic == topic);
        self.heads.iter().any(|(_, at)| of_it(*at))
    }

    /// Returns the rank of an entry. Entries with a higher rank are returned first.
    fn rank(&self, entry: Entry) -> i64 {
        match self.order {
            Order::Oldest => -column::offset(entry.offset),
            Order::NewestEvents => column::offset(entry.offset),
        }
    }
}

impl Source {
    /// Takes the next entry, and reads a chunk of the index if there is none left.
    fn next(&mut self, connection: &Connection, order: Order) -> Result<Option<Entry>, DbError> {
        if self.chunk.is_empty() && !self.is_last {
            self.refill(connection, order)?;
        }
        Ok(self.chunk.pop_front())
    }

    fn refill(&mut self, connection: &Connection, order: Order) -> Result<(), DbError> {
        let mut statement = connection.prepare_cached(match order {
            Order::Oldest => OLDEST,
            Order::NewestEvents => NEWEST_EVENTS,
        })?;
        let (after, until) = (column::offset(self.after), column::offset(self.until));
        let mut rows =
            statement.query([self.topic, after, until, column::number(self.chunk_rows)])?;
        while let Some(row) = rows.next()? {
            let topic = self.topic;
            let read = || Ok(Entry { topic, offset: row.offset(0)?, bytes: row.number(1)? });
            let entry = read().map_err(|error| {
                DbError::at(format_args!("the index of the topic in row {}", self.topic), error)
            })?;
            self.chunk.push_back(entry);
        }
        self.is_last = (self.chunk.len() as u64) < self.chunk_rows;
        self.chunk_rows = (self.chunk_rows * 4).min(Merge::CHUNK_MAX);
        if let Some(entry) = self.chunk.back() {
            match order {
                Order::Oldest => self.after = entry.offset,
                Order::NewestEvents => self.until = entry.offset.previous(),
            }
        }
        Ok(())
    }
}
