//! Checks the tables `log`, `burned`, `keys`, `upload_parts` and `leases`.

use super::check::Check;
use crate::cursor::Offset;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::Columns;
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
            self.connection.prepare("SELECT first, last FROM burned ORDER BY first")?;
        let mut within = self
            .connection
            .prepare("SELECT offset FROM records WHERE offset BETWEEN ?1 AND ?2 LIMIT 1")?;
        let mut rows = ranges.query([])?;
        let mut before = Offset::ZERO;
        while let Some(row) = rows.next()? {
            let (first, last): (i64, i64) = (row.get(0)?, row.get(1)?);
            let place = format_args!("the burned range {first} to {last}");
            let read = || Ok((row.offset(0)?, row.offset(1)?));
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
             FROM keys",
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
            if !read().map_err(|error| DbError::at(&place, error))? {
                self.add(format_args!("{place}: it does not refer to published records"));
            }
        }
        Ok(())
    }

    /// Checks that the stored parts of an upload are contiguous up to its newest one. The oldest may be missing,
    /// because they are deleted first.
    pub(super) fn parts(&mut self) -> Result<(), DbError> {
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

    /// Checks that each lease has a valid topic and at least one second.
    pub(super) fn leases(&mut self) -> Result<(), DbError> {
        let mut statement = self.connection.prepare("SELECT topic, seconds FROM leases")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let named = row.get_ref(0)?.as_str().is_ok_and(|name| TopicName::new(name).is_ok());
            let name = String::from_utf8_lossy(row.get_ref(0)?.as_bytes().unwrap_or_default());
            if !named || row.get::<_, i64>(1)? < 1 {
                self.add(format_args!(
                    "the lease of the topic {name:?}: its topic or its length is not valid"
                ));
            }
        }
        Ok(())
    }
}
