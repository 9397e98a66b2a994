//! Format version 3: checksums, the chains that show a missing row, and the source of idempotency keys.

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Row, params};

use crate::cursor::Epoch;
use crate::cursor::Offset;
use crate::record::Record;
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::sum::seal;
use crate::storage::sqlite::tables::{
    burned, forgotten, key, lease, log, purged, record, topic, upload_part,
};
use crate::topic::TopicName;

/// The statements that change the tables. [`fill`] moves the rows and computes the checksums.
///
/// - `records` and `topic_records` are created again, so that the new columns are before the large one, and the
///   rows are dense.
/// - `purged` has the ranges of offsets whose rows were deleted. Any other offset without a row is a lost record.
/// - `topics.before` is a checksum of the name before this one in byte order; for the first name, of the last.
/// - `forgotten` has the losses of topics whose rows were deleted, by prefixes of their names. In an older log any name
///   may be one of these, so their prefix is empty.
/// - `topics_removed_count` finds the topics that lost records since a removal count.
/// - `keys.source` is a hash of the publisher's address, or 0.
pub(super) const TABLES: &str = "
ALTER TABLE records RENAME TO old_records;
DROP INDEX records_publisher_id;
CREATE TABLE records (
    offset INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    time INTEGER NOT NULL,
    type TEXT,
    event_id TEXT,
    retry INTEGER,
    publisher_id TEXT,
    attributes BLOB,
    id_check INTEGER NOT NULL,
    head_sum INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX records_publisher_id ON records (publisher_id, topic) WHERE publisher_id IS NOT NULL;
ALTER TABLE topic_records RENAME TO old_topic_records;
CREATE TABLE topic_records (
    topic INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    prev INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    PRIMARY KEY (topic, offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE purged (
    first INTEGER PRIMARY KEY, last INTEGER NOT NULL, lost INTEGER NOT NULL, sum INTEGER NOT NULL
) STRICT;
ALTER TABLE topics ADD COLUMN before INTEGER NOT NULL DEFAULT 0;
ALTER TABLE topics ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
CREATE INDEX topics_removed_count ON topics (removals) WHERE removed_through > 0 AND deleted = 0;
CREATE TABLE forgotten (
    prefix TEXT PRIMARY KEY, removed_through INTEGER NOT NULL, removals INTEGER NOT NULL, sum INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO forgotten SELECT '', floor, floor_removals, 0 FROM log WHERE floor > 0;
ALTER TABLE keys ADD COLUMN source INTEGER NOT NULL DEFAULT 0;
ALTER TABLE keys ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE upload_parts ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE leases ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE burned ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
";

/// Shows an older log to the queries of this version, for tools that read it without a migration.
pub(super) const VIEWS: &str = "
CREATE TEMP VIEW records AS SELECT offset, topic, kind, time, type, event_id, retry, publisher_id, attributes,
    'unchecked' AS id_check, 'unchecked' AS head_sum, 'unchecked' AS sum, data FROM main.records;
CREATE TEMP VIEW topic_records AS SELECT topic, offset, kind, bytes, 0 AS prev, 'unchecked' AS sum
    FROM main.topic_records;
CREATE TEMP VIEW topics AS SELECT *, 'unchecked' AS before, 'unchecked' AS sum FROM main.topics;
CREATE TEMP VIEW keys AS SELECT *, 0 AS source, 'unchecked' AS sum FROM main.keys;
CREATE TEMP VIEW burned AS SELECT *, 'unchecked' AS sum FROM main.burned;
CREATE TEMP VIEW log AS SELECT *, 'unchecked' AS sum FROM main.log;
CREATE TEMP VIEW forgotten AS SELECT '' AS prefix, floor AS removed_through, floor_removals AS removals,
    'unchecked' AS sum FROM main.log WHERE floor > 0;
CREATE TEMP VIEW purged AS SELECT 1 AS first, 9223372036854775807 AS last, 0 AS lost, 'unchecked' AS sum;
";

/// Adds to [`VIEWS`] for a log of version 2, which has these tables.
pub(super) const VIEWS_OF_VERSION_2: &str = "
CREATE TEMP VIEW upload_parts AS SELECT *, 'unchecked' AS sum FROM main.upload_parts;
CREATE TEMP VIEW leases AS SELECT *, 'unchecked' AS sum FROM main.leases;
";

/// Removes what [`VIEWS`] and [`VIEWS_OF_VERSION_2`] created.
pub(super) const DROP_VIEWS: &str = "
DROP VIEW IF EXISTS temp.records;
DROP VIEW IF EXISTS temp.topic_records;
DROP VIEW IF EXISTS temp.topics;
DROP VIEW IF EXISTS temp.keys;
DROP VIEW IF EXISTS temp.burned;
DROP VIEW IF EXISTS temp.log;
DROP VIEW IF EXISTS temp.purged;
DROP VIEW IF EXISTS temp.forgotten;
DROP VIEW IF EXISTS temp.upload_parts;
DROP VIEW IF EXISTS temp.leases;
";

/// Moves the rows into the new tables and computes all checksums.
///
/// Reads and writes each row once. A record that cannot be read is moved as it is, with a checksum that does not match:
/// it stays damaged.
pub(super) fn fill(connection: &Connection) -> Result<(), DbError> {
    records(connection)?;
    index(connection)?;
    connection.execute_batch("DROP TABLE old_records; DROP TABLE old_topic_records;")?;
    topic::seal_all(connection)?;
    for table in [
        log::SEALED,
        burned::SEALED,
        purged::SEALED,
        forgotten::SEALED,
        key::SEALED,
        upload_part::SEALED,
        lease::SEALED,
    ] {
        seal(connection, table, "true")?;
    }
    Ok(())
}

/// Moves the records. An offset without a record counts as purged: an older log cannot show that one was lost.
fn records(connection: &Connection) -> Result<(), DbError> {
    let mut select = connection.prepare(
        "SELECT r.topic, r.kind, r.time, r.type, r.event_id, r.retry, r.publisher_id, r.attributes, 'unchecked', \
         'unchecked', r.data, r.offset, t.name FROM old_records r LEFT JOIN topics t ON t.id = r.topic \
         ORDER BY r.offset",
    )?;
    let mut insert = connection.prepare(record::INSERT)?;
    let mut rows = select.query([])?;
    let mut before = Offset::ZERO;
    while let Some(row) = rows.next()? {
        let offset = row.offset(11)?;
        let (topic, kind, time): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let name = row.get_ref(12)?.as_str_or_null().ok().flatten();
        let name = name.and_then(|name| TopicName::new(name).ok());
        let body = record::read_body(row);
        let (check, sum) = match (name, body) {
            (Some(name), Ok(body)) => {
                let attributes = record::read_attributes(row)?;
                let time = row.time(2)?;
                let record = Record::new(Epoch::new(0), offset, time, name, body, attributes);
                (record::id_check(&record), record::sum(&record))
            }
            // This checksum may match by chance, once in four billion.
            (Some(_) | None, _) => (0, 0),
        };
        insert.execute(params![
            column::offset(offset),
            topic,
            kind,
            time,
            raw(row, 3)?,
            raw(row, 4)?,
            raw(row, 5)?,
            raw(row, 6)?,
            raw(row, 7)?,
            check,
            record::head_sum(offset, topic, kind, time),
            sum,
            raw(row, 10)?,
        ])?;
        purged::add(connection, before.next(), offset.previous())?;
        before = offset;
    }
    let newest = log::newest_offset(connection)?;
    purged::add(connection, before.next(), newest)
}

/// Moves the index of records by topic.
fn index(connection: &Connection) -> Result<(), DbError> {
    let mut select = connection.prepare(
        "SELECT topic, offset, kind, bytes FROM old_topic_records ORDER BY topic, offset",
    )?;
    let mut insert = connection.prepare(record::INSERT_ENTRY)?;
    let mut rows = select.query([])?;
    let mut before = (0, 0);
    while let Some(row) = rows.next()? {
        let (topic, offset, kind, bytes): (i64, i64, i64, i64) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let prev = if before.0 == topic { before.1 } else { 0 };
        let sum = record::entry_sum(topic, offset, kind, bytes, prev);
        insert.execute([topic, offset, kind, bytes, prev, sum])?;
        before = (topic, offset);
    }
    Ok(())
}

fn raw<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<ToSqlOutput<'r>> {
    row.get_ref(column).map(ToSqlOutput::Borrowed)
}
