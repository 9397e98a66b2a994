//! The records of several topics in log order, by the index of each.

use std::collections::{BinaryHeap, VecDeque};

use rusqlite::Connection;

use super::column::{self, Columns};
use super::fault::Fault;
use super::topic::Topic;
use crate::cursor::Offset;

pub(super) const OLDEST: &str = "SELECT offset, bytes FROM topic_records \
                                 WHERE topic = ?1 AND offset > ?2 AND offset <= ?3 ORDER BY offset LIMIT ?4";
pub(super) const NEWEST_EVENTS: &str = "SELECT offset, bytes FROM topic_records \
                                        WHERE topic = ?1 AND offset > ?2 AND offset <= ?3 AND kind = 0 \
                                        ORDER BY offset DESC LIMIT ?4";

/// What is wanted of the topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// All records, oldest first.
    Oldest,
    /// Events only, newest first.
    NewestEvents,
}

/// A place of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) topic: i64,
    pub(super) offset: Offset,
    pub(super) bytes: u64,
}

/// Merges the indices of topics. Each is read in chunks that grow with what is taken from it, so that a
/// few records of many topics cost little, and so do many records of a few.
pub(super) struct Merge<'a> {
    connection: &'a Connection,
    order: Order,
    sources: Vec<Source>,
    /// What each source has next: its rank in the order, and the source.
    heads: BinaryHeap<(i64, usize)>,
    last: Option<Offset>,
}

struct Source {
    topic: i64,
    /// What is still to be read from the index.
    after: Offset,
    until: Offset,
    chunk: VecDeque<Place>,
    chunk_rows: u64,
    is_last: bool,
}

impl<'a> Merge<'a> {
    const CHUNK_MIN: u64 = 4;
    const CHUNK_MAX: u64 = 256;

    pub(super) fn new(connection: &'a Connection, order: Order) -> Merge<'a> {
        Merge { connection, order, sources: Vec::new(), heads: BinaryHeap::new(), last: None }
    }

    /// Merges in what a topic shows after one offset and up to another.
    pub(super) fn add(&mut self, topic: &Topic, after: Offset, until: Offset) -> Result<(), Fault> {
        self.add_all(topic.id, after.max(topic.removed_through), until)
    }

    /// Merges in what a topic has there, shown or not.
    pub(super) fn add_all(
        &mut self,
        topic: i64,
        after: Offset,
        until: Offset,
    ) -> Result<(), Fault> {
        let mut source = Source {
            topic,
            after,
            until,
            chunk: VecDeque::new(),
            chunk_rows: Self::CHUNK_MIN,
            is_last: false,
        };
        if let Some(place) = source.next(self.connection, self.order)? {
            source.chunk.push_front(place);
            self.heads.push((self.rank(place), self.sources.len()));
            self.sources.push(source);
        }
        Ok(())
    }

    /// The next place in the order; one that several topics share comes once.
    pub(super) fn next(&mut self) -> Result<Option<Place>, Fault> {
        while let Some(place) = self.next_of_any()? {
            if self.last.replace(place.offset) != Some(place.offset) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The next place in the order; one that several topics share comes for each of them.
    pub(super) fn next_of_any(&mut self) -> Result<Option<Place>, Fault> {
        while let Some((_, at)) = self.heads.pop() {
            let Some(source) = self.sources.get_mut(at) else { continue };
            let Some(place) = source.chunk.pop_front() else { continue };
            if let Some(next) = source.next(self.connection, self.order)? {
                source.chunk.push_front(next);
                self.heads.push((self.rank(next), at));
            }
            return Ok(Some(place));
        }
        Ok(None)
    }

    /// Whether there is more of a topic.
    pub(super) fn has_more(&self, topic: i64) -> bool {
        let of_it = |at: usize| self.sources.get(at).is_some_and(|source| source.topic == topic);
        self.heads.iter().any(|(_, at)| of_it(*at))
    }

    /// What comes first in the order has the highest rank.
    fn rank(&self, place: Place) -> i64 {
        match self.order {
            Order::Oldest => -column::offset(place.offset),
            Order::NewestEvents => column::offset(place.offset),
        }
    }
}

impl Source {
    /// Takes the next place, from the index if the chunk is used up.
    fn next(&mut self, connection: &Connection, order: Order) -> Result<Option<Place>, Fault> {
        if self.chunk.is_empty() && !self.is_last {
            self.refill(connection, order)?;
        }
        Ok(self.chunk.pop_front())
    }

    fn refill(&mut self, connection: &Connection, order: Order) -> Result<(), Fault> {
        let mut statement = connection.prepare_cached(match order {
            Order::Oldest => OLDEST,
            Order::NewestEvents => NEWEST_EVENTS,
        })?;
        let (after, until) = (column::offset(self.after), column::offset(self.until));
        let mut rows =
            statement.query([self.topic, after, until, column::number(self.chunk_rows)])?;
        while let Some(row) = rows.next()? {
            let topic = self.topic;
            let read = || Ok(Place { topic, offset: row.offset(0)?, bytes: row.number(1)? });
            let place = read().map_err(|error| {
                Fault::at(format_args!("the index of the topic in row {}", self.topic), error)
            })?;
            self.chunk.push_back(place);
        }
        self.is_last = (self.chunk.len() as u64) < self.chunk_rows;
        self.chunk_rows = (self.chunk_rows * 4).min(Merge::CHUNK_MAX);
        if let Some(place) = self.chunk.back() {
            match order {
                Order::Oldest => self.after = place.offset,
                Order::NewestEvents => self.until = place.offset.previous(),
            }
        }
        Ok(())
    }
}
