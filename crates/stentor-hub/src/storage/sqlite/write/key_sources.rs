//! The number of idempotency keys and part hashes of each publisher address.

use std::collections::HashMap;

use rusqlite::Connection;

use crate::key::KeyCount;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::Columns;
use crate::timestamp::Timestamp;

/// The addresses that have keys: at most as many as there are keys.
#[derive(Debug, Default)]
pub(crate) struct KeySources {
    counts: HashMap<i64, SourceCount>,
}

/// The counts of one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceCount {
    pub(crate) count: KeyCount,
    /// No key of the address expires before this time.
    pub(crate) next_expiry: Timestamp,
}

impl KeySources {
    /// Counts the stored keys.
    pub(crate) fn load(connection: &Connection) -> Result<KeySources, DbError> {
        let mut sources = KeySources::default();
        let mut statement = connection.prepare(
            "SELECT source, expires, CASE upload WHEN 0 THEN 0 ELSE \
             (SELECT count(*) FROM upload_parts WHERE upload_parts.upload = first_offset) END \
             FROM keys WHERE source <> 0",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let read = || Ok((row.get(0)?, row.time(1)?, row.number(2)?));
            let (source, expires, parts) =
                read().map_err(|error| DbError::at("the sources of keys", error))?;
            let counted = sources.counts.entry(source).or_default();
            counted.add_key(expires);
            counted.count.parts += parts;
        }
        Ok(sources)
    }

    /// Takes over the changes of a committed transaction.
    pub(crate) fn apply(&mut self, changed: HashMap<i64, SourceCount>) {
        for (source, counted) in changed {
            if counted.count == KeyCount::default() {
                self.counts.remove(&source);
            } else {
                self.counts.insert(source, counted);
            }
        }
    }

    pub(crate) fn get(&self, source: i64) -> SourceCount {
        self.counts.get(&source).copied().unwrap_or_default()
    }
}

impl SourceCount {
    pub(crate) fn add_key(&mut self, expires: Timestamp) {
        let is_first = self.count.keys == 0;
        self.next_expiry = if is_first { expires } else { self.next_expiry.min(expires) };
        self.count.keys += 1;
    }

    /// Counts a key that was deleted. Keys are deleted in the order in which they expire.
    pub(crate) fn remove_key(&mut self, expires: Timestamp) {
        self.count.keys = self.count.keys.saturating_sub(1);
        self.next_expiry = self.next_expiry.max(expires);
    }
}
