//! What there is in a log.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::super::column::Columns;
use super::super::fault::Fault;
use super::super::lock::{Held, Lock};
use super::super::schema;
use super::whole::Whole;
use super::{SqliteLog, ToolError, error};
use crate::cursor::{Cursor, Epoch};
use crate::timestamp::Timestamp;

/// A log at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// Its directory.
    pub dir: PathBuf,
    /// The version of its format.
    pub format: i64,
    /// The identity of its history.
    pub epoch: Epoch,
    /// Where the log ends.
    pub tail: Cursor,
    /// Whether a program has it open.
    pub in_use: bool,
    /// Which one, if that is known.
    pub process: Option<u32>,
    /// Whether it was left in good order; not so while it is in use.
    pub clean: bool,
    /// Events, ends and deletions that can be read.
    pub records: u64,
    /// Events that can be read.
    pub events: u64,
    /// The bytes of their text.
    pub event_bytes: u64,
    /// Topics that exist.
    pub topics: u64,
    /// How many of these have ended.
    pub ended_topics: u64,
    /// The time of the oldest record that can be read.
    pub oldest: Option<Timestamp>,
    /// The time of the newest one.
    pub newest: Option<Timestamp>,
    /// Ranges of numbers that were given up after unclean stops.
    pub burned_ranges: u64,
    /// Idempotency keys that are remembered.
    pub keys: u64,
    /// Topics that end if nobody publishes to them.
    pub leases: u64,
    /// The size of the database, in bytes.
    pub database_bytes: u64,
    /// How much of that is free.
    pub free_bytes: u64,
    /// The size of the write-ahead log, in bytes.
    pub wal_bytes: u64,
}

impl SqliteLog {
    /// What there is, all of the same moment. The work is that of looking at each topic.
    pub fn info(&mut self) -> Result<LogInfo, ToolError> {
        let held = Lock::look(&self.dir)?;
        let transaction = self.connection.transaction()?;
        let whole = Whole::load(&transaction)?;
        let topics = Topics::count(&transaction)?;
        let count = |what: &str| count(&transaction, &format!("SELECT count(*) FROM {what}"));
        let pragma = |name: &str| count_pragma(&transaction, name);
        let file = error::file(&self.dir);
        Ok(LogInfo {
            dir: self.dir.clone(),
            format: self.version,
            epoch: whole.epoch,
            tail: Cursor::position(whole.epoch, whole.tail()),
            in_use: held != Held::No,
            process: match held {
                Held::By(process) => process,
                Held::No => None,
            },
            clean: whole.clean,
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
    /// Ends and deletions.
    ends: u64,
}

impl Topics {
    fn count(connection: &Connection) -> Result<Topics, Fault> {
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
        topics.map_err(|error| Fault::at("the topics", error))
    }
}

const OLDEST: &str = "SELECT r.time FROM records r JOIN topics t ON t.id = r.topic \
                      WHERE r.offset > t.removed_through ORDER BY r.offset LIMIT 1";
const NEWEST: &str = "SELECT r.time FROM records r JOIN topics t ON t.id = r.topic \
                      WHERE r.offset > t.removed_through ORDER BY r.offset DESC LIMIT 1";

fn time(connection: &Connection, sql: &str) -> Result<Option<Timestamp>, Fault> {
    let time = connection.query_row(sql, [], |row| row.time(0)).optional();
    time.map_err(|error| Fault::at("the time of a record", error))
}

fn count(connection: &Connection, sql: &str) -> Result<u64, Fault> {
    let count = connection.query_row(sql, [], |row| row.number(0));
    count.map_err(|error| Fault::at("the log's counts", error))
}

fn count_pragma(connection: &Connection, name: &str) -> Result<u64, Fault> {
    count(connection, &format!("PRAGMA {name}"))
}

fn bytes(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}
