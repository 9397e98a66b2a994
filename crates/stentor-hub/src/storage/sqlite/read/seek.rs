//! Finds the offset at which a reader begins.

use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::newest::Newest;
use super::snapshot::Snapshot;
use super::step::Stepped;
use crate::cursor::Offset;
use crate::filter::Filters;
use crate::storage::query::Seek;
use crate::storage::result::SeekResult;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::timestamp::Timestamp;

pub(crate) const FIRST_FROM: &str =
    "SELECT offset, time FROM records WHERE offset >= ?1 ORDER BY offset LIMIT 1";

/// See [`Storage::seek`](crate::storage::Storage::seek).
///
/// The tail and the count of removals of the result are those of the last step. The start of the reader is at or before
/// the tail of the first step, so the reader misses no later record. Removals before the last step do not concern a
/// reader that begins now.
pub(crate) struct SeekQuery {
    filters: Arc<Filters>,
    seek: Seek,
    newest: Option<Newest>,
}

impl SeekQuery {
    pub(crate) fn new(filters: Arc<Filters>, seek: Seek) -> SeekQuery {
        SeekQuery { filters, seek, newest: None }
    }
}

impl Stepped for SeekQuery {
    type Output = SeekResult;

    fn step(
        &mut self,
        snapshot: &Snapshot<'_>,
        rows_max: u64,
    ) -> Result<Option<SeekResult>, DbError> {
        let after = match self.seek {
            Seek::Earliest => Offset::ZERO,
            Seek::Newest { count, before } => {
                let newest = self.newest.get_or_insert_with(|| {
                    let until = snapshot.tail.min(before.previous());
                    Newest::new(&self.filters, count as u64, until)
                });
                let Some(after) = newest.step(snapshot, rows_max)? else { return Ok(None) };
                after
            }
            Seek::Since(time) => {
                snapshot.first_since(time)?.map_or(snapshot.tail, Offset::previous)
            }
        };
        let (tail, removals) = (snapshot.tail, snapshot.removals);
        Ok(Some(SeekResult { after, tail, removals }))
    }
}

impl Snapshot<'_> {
    /// Returns the first record with this time or a later one. Times never
    /// decrease as offsets increase, so this is a binary search over offsets.
    fn first_since(&self, time: Timestamp) -> Result<Option<Offset>, DbError> {
        let (mut from, mut to, mut found) = (Offset::ZERO.next(), self.tail, None);
        while from <= to {
            let middle = Offset::new(from.get() + (to.get() - from.get()) / 2);
            match self.first_from(middle)? {
                Some((offset, at)) if offset <= to && at < time => from = offset.next(),
                Some((offset, _)) if offset <= to => {
                    found = Some(offset);
                    to = middle.previous();
                }
                Some(_) | None => to = middle.previous(),
            }
        }
        Ok(found)
    }

    fn first_from(&self, from: Offset) -> Result<Option<(Offset, Timestamp)>, DbError> {
        self.count_row();
        let mut statement = self.connection.prepare_cached(FIRST_FROM)?;
        let first =
            statement.query_row([column::offset(from)], |row| Ok((row.offset(0)?, row.time(1)?)));
        first.optional().map_err(|error| {
            DbError::at(format_args!("the first record from offset {from}"), error)
        })
    }
}
