//! Merges the indexes of several topics into log order.

use std::collections::{BinaryHeap, VecDeque};

use rusqlite::Connection;

use crate::cursor::Offset;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::record::IndexEntry;
use crate::storage::sqlite::tables::topic::Topic;

pub(crate) const OLDEST: &str = "SELECT topic, offset, kind, bytes, prev, sum FROM topic_records \
                                 WHERE topic = ?1 AND offset > ?2 AND offset <= ?3 ORDER BY offset LIMIT ?4";
pub(crate) const NEXT: &str = "SELECT topic, offset, kind, bytes, prev, sum FROM topic_records \
                               WHERE topic = ?1 AND offset > ?2 ORDER BY offset LIMIT 1";
pub(crate) const NEWEST_EVENTS: &str = "SELECT topic, offset, kind, bytes, prev, sum FROM topic_records \
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
    /// `true` in place of records that are lost: the last of them is at this offset.
    pub(crate) is_lost: bool,
}

/// Merges the indexes of topics.
///
/// Each is read in chunks, which grow as more of it is read. So both a few records of many topics and many
/// records of a few topics are cheap. A merge can be continued on a later snapshot.
pub(crate) struct Merge {
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
    /// The last entry that was read. The next one must name it as its predecessor.
    seen: Offset,
    /// Offset of the topic's last record; zero if missing entries do not matter.
    last: Offset,
}

impl Merge {
    const CHUNK_MIN: u64 = 4;
    const CHUNK_MAX: u64 = 256;

    pub(crate) fn new(order: Order) -> Merge {
        Merge { order, sources: Vec::new(), heads: BinaryHeap::new(), last: None }
    }

    /// Adds the readable records of a topic after one offset, up to and including another.
    pub(crate) fn add(
        &mut self,
        connection: &Connection,
        topic: &Topic,
        after: Offset,
        until: Offset,
    ) -> Result<(), DbError> {
        let after = after.max(topic.removed_through);
        self.add_source(connection, Source::new(topic.id, after, until, topic.last))
    }

    /// Adds the records of a topic after one offset, up to and including another, removed ones too.
    pub(crate) fn add_all(
        &mut self,
        connection: &Connection,
        topic: i64,
        after: Offset,
        until: Offset,
    ) -> Result<(), DbError> {
        self.add_source(connection, Source::new(topic, after, until, Offset::ZERO))
    }

    fn add_source(&mut self, connection: &Connection, mut source: Source) -> Result<(), DbError> {
        if let Some(entry) = source.next(connection, self.order)? {
            source.chunk.push_front(entry);
            self.heads.push((self.rank(entry), self.sources.len()));
            self.sources.push(source);
        }
        Ok(())
    }

    /// Returns the next entry in the order. A record of several topics is returned once.
    pub(crate) fn next(&mut self, connection: &Connection) -> Result<Option<Entry>, DbError> {
        while let Some(entry) = self.next_of_any(connection)? {
            if self.last.replace(entry.offset) != Some(entry.offset) {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// Returns the next entry in the order. A record of several topics is returned once for each.
    pub(crate) fn next_of_any(
        &mut self,
        connection: &Connection,
    ) -> Result<Option<Entry>, DbError> {
        while let Some((_, at)) = self.heads.pop() {
            let Some(source) = self.sources.get_mut(at) else { continue };
            let Some(entry) = source.chunk.pop_front() else { continue };
            if let Some(next) = source.next(connection, self.order)? {
                source.chunk.push_front(next);
                self.heads.push((self.rank(next), at));
            }
            return Ok(Some(entry));
        }
        Ok(None)
    }

    /// Returns the offset of the next entry.
    pub(crate) fn next_offset(&self) -> Option<Offset> {
        let (_, at) = self.heads.peek()?;
        Some(self.sources.get(*at)?.chunk.front()?.offset)
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
    fn new(topic: i64, after: Offset, until: Offset, last: Offset) -> Source {
        let (chunk, chunk_rows) = (VecDeque::new(), Merge::CHUNK_MIN);
        Source { topic, after, until, chunk, chunk_rows, is_last: false, seen: after, last }
    }

    /// Takes the next entry, and reads a chunk of the index if there is none left.
    fn next(&mut self, connection: &Connection, order: Order) -> Result<Option<Entry>, DbError> {
        while self.chunk.is_empty() && !self.is_last {
            self.refill(connection, order)?;
        }
        Ok(self.chunk.pop_front())
    }

    /// Reads a chunk. An entry that does not match its checksum is skipped: in [`Order::Oldest`] its successor, or the
    /// end of the topic, shows that it is missing.
    fn refill(&mut self, connection: &Connection, order: Order) -> Result<(), DbError> {
        let rows = match self.read_chunk(connection, order) {
            Err(error) if error.is_corrupt() => {
                self.is_last = true;
                let is_missed = self.last > Offset::ZERO && self.until > self.seen;
                if order == Order::Oldest && is_missed {
                    self.push_lost(self.until);
                }
                return Ok(());
            }
            rows => rows?,
        };
        self.is_last = rows < self.chunk_rows;
        self.chunk_rows = (self.chunk_rows * 4).min(Merge::CHUNK_MAX);
        if self.is_last && order == Order::Oldest {
            self.check_end(connection)?;
        }
        Ok(())
    }

    fn read_chunk(&mut self, connection: &Connection, order: Order) -> Result<u64, DbError> {
        let mut statement = connection.prepare_cached(match order {
            Order::Oldest => OLDEST,
            Order::NewestEvents => NEWEST_EVENTS,
        })?;
        let (after, until) = (column::offset(self.after), column::offset(self.until));
        let mut rows =
            statement.query([self.topic, after, until, column::number(self.chunk_rows)])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            count += 1;
            let Ok(IndexEntry { offset, bytes, prev, .. }) = IndexEntry::read(row) else {
                // Read on after it: entries are in the order of their offsets.
                match row.offset(1) {
                    Ok(offset) if order == Order::Oldest => self.after = self.after.max(offset),
                    Ok(offset) => self.until = self.until.min(offset.previous()),
                    Err(_) => count = 0,
                }
                continue;
            };
            match order {
                Order::Oldest => {
                    if prev > self.seen && self.last > Offset::ZERO {
                        self.push_lost(prev);
                    }
                    (self.after, self.seen) = (offset, offset);
                }
                Order::NewestEvents => self.until = offset.previous(),
            }
            let topic = self.topic;
            self.chunk.push_back(Entry { topic, offset, bytes, is_lost: false });
        }
        Ok(count)
    }

    /// Finds entries that are missing between the last one that was read and `until`.
    fn check_end(&mut self, connection: &Connection) -> Result<(), DbError> {
        if self.last <= self.seen {
            return Ok(());
        }
        if self.last <= self.until {
            self.push_lost(self.last);
            return Ok(());
        }
        let mut statement = connection.prepare_cached(NEXT)?;
        let mut rows = statement.query([self.topic, column::offset(self.until)])?;
        let next = match rows.next() {
            Ok(Some(row)) => IndexEntry::read(row).ok(),
            Ok(None) => None,
            Err(error) => return Err(error.into()),
        };
        match next {
            Some(next) if next.prev <= self.seen || next.prev > self.until => {}
            Some(next) => self.push_lost(next.prev),
            // The next one is lost too, so the first lost one may be at any offset.
            None if self.until > self.seen => self.push_lost(self.until),
            None => {}
        }
        Ok(())
    }

    fn push_lost(&mut self, offset: Offset) {
        self.chunk.push_back(Entry { topic: self.topic, offset, bytes: 0, is_lost: true });
    }
}
