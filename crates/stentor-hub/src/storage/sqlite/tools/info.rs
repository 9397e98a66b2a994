//! Facts about a log.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::error::{self, ToolError};
use super::log::SqliteLog;
use super::log_row::LogRow;
use crate::cursor::{Cursor, Epoch};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::lock::{Holder, Lock};
use crate::storage::sqlite::schema;
use crate::storage::sqlite::tables::column::Columns;
use crate::timestamp::Timestamp;

/// Facts about a log at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// Directory of the log.
    pub dir: PathBuf,
    /// Format version.
    pub format: i64,
    /// Epoch: the identity of the log's history.
    pub epoch: Epoch,
    /// Position of the tail.
    pub tail: Cursor,
    /// `true` if a process has the log open.
    pub in_use: bool,
    /// Id of that process, if known.
    pub process: Option<u32>,
    /// `true` if the log was closed properly. `false` while it is in use.
    pub clean: bool,
    /// Number of readable events, ends and deletions.
    pub records: u64,
    /// Number of readable events.
    pub events: u64,
    /// Bytes of these events, as [`Body::bytes`](crate::Body::bytes) counts them.
    pub event_bytes: u64,
    /// Number of topics that have an event or an end.
    pub topics: u64,
    /// Number of these topics that have ended.
    pub ended_topics: u64,
    /// Time of the oldest readable record.
    pub oldest: Option<Timestamp>,
    /// Time of the newest readable record.
    pub newest: Option<Timestamp>,
    /// Number of burned ranges: offsets that were reserved and lost in an unclean stop.
    pub burned_ranges: u64,
    /// Number of stored idempotency keys.
    pub keys: u64,
    /// Number of topics with a lease.
    pub leases: u64,
    /// Size of the database file in bytes.
    pub database_bytes: u64,
    /// Bytes of the database file that are free.
    pub free_bytes: u64,
    /// Size of the write-ahead log in bytes.
    pub wal_bytes: u64,
}

impl SqliteLog {
    /// Reads facts about the log, all of the same moment. Reads each topic once.
    ///
    /// # Errors
    ///
    /// If the log cannot be read, or is damaged where this reads it.
    pub fn info(&mut self) -> Result<LogInfo, ToolError> {
        let holder = Lock::holder(&self.dir, self.database())?;
        let transaction = self.connection.transaction()?;
        let log = LogRow::load(&transaction)?;
        let topics = Topics::count(&transaction)?;
        let count = |table: &str| count(&transaction, &format!("SELECT count(*) FROM {table}"));
        let pragma = |name: &str| count_pragma(&transaction, name);
        let file = error::file(&self.dir);
        Ok(LogInfo {
            dir: self.dir.clone(),
            format: self.version,
            epoch: log.epoch,
            tail: Cursor::position(log.epoch, log.tail()),
            in_use: holder != Holder::None,
            process: match holder {
                Holder::Process(process) => process,
                Holder::None => None,
            },
            clean: log.clean,
            records: topics.events + topics.ends,
            events: topics.events,
            event_bytes: topics.bytes,
            topics: topics.existing,
            ended_topics: topics.ended,
            oldest: time(&transaction, OLDEST)?,
            newest: time(&transaction, NEWEST)?,
            burned_ranges: count("burned")?,
            keys: count("keys")?,
            leases: if self.version < 2 { 0 } else { count("leases")? },
            free_bytes: pragma("freelist_count")? * pragma("page_size")?,
            wal_bytes: bytes(&self.dir.join(schema::WAL_FILE)),
            database_bytes: bytes(&file),
        })
    }
}

struct Topics {
    existing: u64,
    ended: u64,
    events: u64,
    bytes: u64,
    /// Number of ends and deletions.
    ends: u64,
}

impl Topics {
    fn count(connection: &Connection) -> Result<Topics, DbError> {
        let topics = connection.query_row(
            "SELECT count(*) FILTER (WHERE events > 0 OR end_offset IS NOT NULL AND deleted = 0), \
             count(*) FILTER (WHERE end_offset IS NOT NULL AND deleted = 0), coalesce(sum(events), 0), \
             coalesce(sum(bytes), 0), count(end_offset) FROM topics",
            [],
            |row| {
                Ok(Topics {
                    existing: row.number(0)?,
                    ended: row.number(1)?,
                    events: row.number(2)?,
                    bytes: row.number(3)?,
                    ends: row.number(4)?,
                })
            },
        );
        topics.map_err(|error| DbError::at("the topics", error))
    }
}

const OLDEST: &str = "SELECT r.time FROM records r JOIN topics t ON t.id = r.topic \
                      WHERE r.offset > t.removed_through ORDER BY r.offset LIMIT 1";
const NEWEST: &str = "SELECT r.time FROM records r JOIN topics t ON t.id = r.topic \
                      WHERE r.offset > t.removed_through ORDER BY r.offset DESC LIMIT 1";

fn time(connection: &Connection, sql: &str) -> Result<Option<Timestamp>, DbError> {
    let time = connection.query_row(sql, [], |row| row.time(0)).optional();
    time.map_err(|error| DbError::at("the time of a record", error))
}

fn count(connection: &Connection, sql: &str) -> Result<u64, DbError> {
    let count = connection.query_row(sql, [], |row| row.number(0));
    count.map_err(|error| DbError::at("the number of rows", error))
}

fn count_pragma(connection: &Connection, name: &str) -> Result<u64, DbError> {
    count(connection, &format!("PRAGMA {name}"))
}

fn bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}
