//! Checks the tables `log`, `burned`, `keys`, `upload_parts` and `leases`.

use super::check::Check;
use crate::cursor::Offset;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::Columns;
use crate::storage::sqlite::tables::sum::{self, Sum};
use crate::storage::sqlite::tables::{purged, topic};
use crate::storage::sqlite::tools::log_row::LogRow;
use crate::topic::TopicName;

impl Check<'_> {
    /// Checks the row of `log`.
    pub(super) fn log(&mut self, log: &LogRow) {
        if log.newest > log.reserved_through {
            self.add(format_args!(
                "the log: offset {} was assigned, but only offsets up to {} were reserved",
                log.newest, log.reserved_through
            ));
        }
        if log.clean && log.closed_at < log.newest {
            self.add(format_args!(
                "the log: it was closed at offset {} and has offset {}",
                log.closed_at, log.newest
            ));
        }
        if log.floor > log.newest {
            self.add(format_args!("the log: its floor {} is after its tail", log.floor));
        }
    }

    /// Checks that burned ranges are in order, within the reservation, and without records.
    pub(super) fn burned(&mut self, log: &LogRow) -> Result<(), DbError> {
        let mut ranges =
            self.connection.prepare("SELECT first, last, sum FROM burned ORDER BY first")?;
        let mut within = self
            .connection
            .prepare("SELECT offset FROM records WHERE offset BETWEEN ?1 AND ?2 LIMIT 1")?;
        let mut rows = ranges.query([])?;
        let mut before = Offset::ZERO;
        while let Some(row) = rows.next()? {
            let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
            let place = format_args!("the burned range {first} to {last}");
            let read = || {
                sum::check_columns(row, 2)?;
                Ok((row.offset(0)?, row.offset(1)?))
            };
            let (start, end) = read().map_err(|error| DbError::at(place, error))?;
            if start > end || start <= before || end > log.reserved_through {
                self.add(format_args!(
                    "{place}: it overlaps an earlier one or exceeds the reservation"
                ));
            }
            before = end;
            let mut records = within.query([first, last])?;
            if let Some(record) = records.next()? {
                self.add(format_args!(
                    "{place}: the record at offset {} is in it",
                    record.get::<_, i64>(0)?
                ));
            }
        }
        Ok(())
    }

    /// Checks that each key has a valid name, hash and range of offsets.
    pub(super) fn keys(&mut self, log: &LogRow) -> Result<(), DbError> {
        let mut statement = self.connection.prepare(
            "SELECT scope, name, length(hash), count, first_offset, first_check, last_offset, last_check \
             , scope, publisher, name, upload, hash, count, first_offset, first_check, last_offset, last_check, \
             expires, source, sum FROM keys",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let place = format!("the key {:?}", row.get_ref(1)?.as_str().unwrap_or("?"));
            let read = || {
                let (scope, name) = (row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
                let named = !name.is_empty() && (scope.is_empty() || TopicName::new(scope).is_ok());
                let (first, last) = (row.offset(4)?, row.offset(6)?);
                row.check(5)?;
                row.check(7)?;
                let offsets = first > Offset::ZERO && first <= last && last <= log.reserved_through;
                Ok(named && row.number(2)? == 16 && row.number(3)? > 0 && offsets)
            };
            let is_valid = read().and_then(|valid| {
                let sum = Sum::of_range(row, 8..20)?;
                sum::check(row, 20, || sum)?;
                Ok(valid)
            });
            match is_valid {
                Ok(true) => {}
                Ok(false) => {
                    self.add(format_args!("{place}: it does not refer to published records"));
                }
                Err(error) => self.record_error(DbError::at(&place, error))?,
            }
        }
        Ok(())
    }

    /// Checks that the stored parts of an upload are contiguous up to its newest one. The oldest may be missing,
    /// because they are deleted first.
    pub(super) fn parts(&mut self) -> Result<(), DbError> {
        self.part_sums()?;
        let mut statement = self.connection.prepare(
            "SELECT parts.upload, first, newest, kept, keys.count FROM \
             (SELECT upload, min(part) AS first, max(part) AS newest, count(*) AS kept \
             FROM upload_parts GROUP BY upload) AS parts \
             LEFT JOIN keys ON keys.first_offset = parts.upload AND keys.upload = 1",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let place = format!("the upload at offset {}", row.get::<_, i64>(0)?);
            let (first, newest): (i64, i64) = (row.get(1)?, row.get(2)?);
            let kept: i64 = row.get(3)?;
            let Some(count) = row.get::<_, Option<i64>>(4)? else {
                self.add(format_args!("{place}: it has parts but no key"));
                continue;
            };
            let reaches = newest.checked_add(1) == Some(count);
            let contiguous = newest.checked_sub(first) == kept.checked_sub(1);
            if first < 0 || !reaches || !contiguous {
                self.add(format_args!(
                    "{place}: it has {kept} parts from {first} to {newest}, but {count} events"
                ));
            }
        }
        Ok(())
    }

    /// Checks that the ranges of purged offsets do not overlap and have no record.
    pub(super) fn purged(&mut self) -> Result<(), DbError> {
        let mut select = self.connection.prepare(
            "SELECT first, last, lost, sum, EXISTS (SELECT 1 FROM records WHERE offset BETWEEN first AND last) \
             FROM purged ORDER BY first",
        )?;
        let mut rows = select.query([])?;
        let mut before = Offset::ZERO;
        while let Some(row) = rows.next()? {
            let place = format_args!("the purged range from offset {}", row.get::<_, i64>(0)?);
            match purged::read(row) {
                Ok(range) => {
                    if range.first <= before || range.first > range.last || row.get(4)? {
                        self.add(format_args!("{place}: it overlaps another one, or has a record"));
                    }
                    before = range.last;
                }
                Err(error) => self.record_error(DbError::at(place, error))?,
            }
        }
        Ok(())
    }

    /// Checks that the name before each topic is the one that its row has the checksum of.
    pub(super) fn names(&mut self) -> Result<(), DbError> {
        let mut select =
            self.connection.prepare("SELECT name, before FROM topics ORDER BY name")?;
        let names = select.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
        let (mut first, mut last): (Option<(String, i64)>, Option<String>) = (None, None);
        let mut wrong = Vec::new();
        for name in names {
            let (name, before): (String, i64) = name?;
            match &last {
                Some(last) if topic::name_sum(last) != before => wrong.push(name.clone()),
                Some(_) => {}
                None => first = Some((name.clone(), before)),
            }
            last = Some(name);
        }
        if let (Some((name, before)), Some(last)) = (first, last)
            && topic::name_sum(&last) != before
        {
            wrong.push(name);
        }
        for name in wrong {
            self.add(format_args!("the topic {name:?}: the topic before it is missing"));
        }
        Ok(())
    }

    /// Checks the checksums of the parts of uploads.
    fn part_sums(&mut self) -> Result<(), DbError> {
        let mut select =
            self.connection.prepare("SELECT upload, part, hash, sum FROM upload_parts")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            if let Err(error) = sum::check_columns(row, 3) {
                let place = format_args!("part {} of an upload", row.get::<_, i64>(1)?);
                self.record_error(DbError::at(place, error))?;
            }
        }
        Ok(())
    }

    /// Checks that each lease has a valid topic and at least one second.
    pub(super) fn leases(&mut self) -> Result<(), DbError> {
        let mut statement = self.connection.prepare("SELECT topic, seconds, sum FROM leases")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let named = row.get_ref(0)?.as_str().is_ok_and(|name| TopicName::new(name).is_ok());
            let name = String::from_utf8_lossy(row.get_ref(0)?.as_bytes().unwrap_or_default());
            let is_sound = sum::check_columns(row, 2).is_ok();
            if !named || !is_sound || row.get::<_, i64>(1)? < 1 {
                self.add(format_args!(
                    "the lease of the topic {name:?}: its topic, its length or its checksum is not valid"
                ));
            }
        }
        Ok(())
    }
}
