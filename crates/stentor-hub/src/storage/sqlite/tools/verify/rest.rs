//! Whether the log as a whole, burned ranges, keys, parts of uploads and leases make sense.

use super::super::super::column::Columns;
use super::super::super::fault::Fault;
use super::super::whole::Whole;
use super::Check;
use crate::cursor::Offset;
use crate::topic::TopicName;

impl Check<'_> {
    pub(super) fn whole(&mut self, whole: &Whole) {
        if whole.newest > whole.reserved_through {
            self.find(format_args!(
                "the log: offset {} was given out and only those up to {} were reserved",
                whole.newest, whole.reserved_through
            ));
        }
        if whole.clean && whole.left_at < whole.newest {
            self.find(format_args!(
                "the log: it was left at offset {} and has offset {}",
                whole.left_at, whole.newest
            ));
        }
        if whole.floor > whole.newest {
            self.find(format_args!("the log: its floor {} is beyond its tail", whole.floor));
        }
    }

    pub(super) fn burned(&mut self, whole: &Whole) -> Result<(), Fault> {
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
            let (start, end) = read().map_err(|error| Fault::at(place, error))?;
            if start > end || start <= before || end > whole.reserved_through {
                self.find(format_args!(
                    "{place}: it does not fit those before it or what was reserved"
                ));
            }
            before = end;
            let mut records = within.query([first, last])?;
            if let Some(record) = records.next()? {
                self.find(format_args!(
                    "{place}: the record at offset {} is in it",
                    record.get::<_, i64>(0)?
                ));
            }
        }
        Ok(())
    }

    pub(super) fn keys(&mut self, whole: &Whole) -> Result<(), Fault> {
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
                let offsets =
                    first > Offset::ZERO && first <= last && last <= whole.reserved_through;
                Ok(named && row.number(2)? == 16 && row.number(3)? > 0 && offsets)
            };
            if !read().map_err(|error| Fault::at(&place, error))? {
                self.find(format_args!(
                    "{place}: it does not point to anything that was published"
                ));
            }
        }
        Ok(())
    }

    /// The parts of an upload reach to its newest without a hole. The oldest may be gone: they are
    /// forgotten first.
    pub(super) fn parts(&mut self) -> Result<(), Fault> {
        let mut statement = self.connection.prepare(
            "SELECT parts.upload, first, newest, kept, keys.count FROM \
             (SELECT upload, min(part) AS first, max(part) AS newest, count(*) AS kept \
             FROM upload_parts GROUP BY upload) AS parts \
             LEFT JOIN keys ON keys.first_offset = parts.upload AND keys.upload = 1",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let place = format!("the upload from offset {} on", row.get::<_, i64>(0)?);
            let (first, newest): (i64, i64) = (row.get(1)?, row.get(2)?);
            let kept: i64 = row.get(3)?;
            let Some(count) = row.get::<_, Option<i64>>(4)? else {
                self.find(format_args!("{place}: it has parts and no key"));
                continue;
            };
            let reaches = newest.checked_add(1) == Some(count);
            let whole = newest.checked_sub(first) == kept.checked_sub(1);
            if first < 0 || !reaches || !whole {
                self.find(format_args!(
                    "{place}: it has {kept} parts from {first} to {newest}, and {count} events"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn leases(&mut self) -> Result<(), Fault> {
        let mut statement = self.connection.prepare("SELECT topic, seconds FROM leases")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let named = row.get_ref(0)?.as_str().is_ok_and(|name| TopicName::new(name).is_ok());
            let name = String::from_utf8_lossy(row.get_ref(0)?.as_bytes().unwrap_or_default());
            if !named || row.get::<_, i64>(1)? < 1 {
                self.find(format_args!("the lease of the topic {name:?}: it makes no sense"));
            }
        }
        Ok(())
    }
}
