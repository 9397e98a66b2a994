//! What is known of the log as a whole.

use rusqlite::{Connection, OptionalExtension};

use super::column::{self, Columns};
use super::fault::Fault;
use crate::cursor::{Epoch, Offset};
use crate::timestamp::Timestamp;

/// The numbers that go on from one change to the next. The writer owns them; a change works on a
/// copy, which takes their place once it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ledger {
    /// The offset given out last, or burned last.
    pub(super) tail: Offset,
    /// The time of the newest record.
    pub(super) time: Timestamp,
    /// Offsets up to here may have been given out, should the disk have forgotten the last commits.
    pub(super) reserved_through: Offset,
    pub(super) removals: u64,
    /// The highest offset removed from topics that are no longer known by name, and the count of
    /// removals at that moment.
    pub(super) floor: Offset,
    pub(super) floor_removals: u64,
    /// The next new topic's row.
    pub(super) next_topic: i64,
    /// How many topics hold nothing (any more), or only their deletion.
    pub(super) empty_topics: u64,
    /// How many keys are remembered, and parts of uploads under them.
    pub(super) keys: u64,
    pub(super) parts: u64,
}

/// What opening a log makes of how it was left.
pub(super) struct Opened {
    pub(super) epoch: Epoch,
    pub(super) ledger: Ledger,
    pub(super) burned: Vec<(Offset, Offset)>,
}

impl Ledger {
    /// Makes sure that offsets beyond the next one are reserved, well before they are given out: so the
    /// reservation is on the disk even if the disk loses the last commits.
    pub(super) fn reserve(&mut self, block: u64) {
        if self.tail.get() + block / 2 >= self.reserved_through.get() {
            self.reserved_through = Offset::new(self.tail.get() + block);
        }
    }

    /// Stores what is new in this since `before`.
    pub(super) fn store(&self, before: &Ledger, connection: &Connection) -> Result<(), Fault> {
        let stored = |ledger: &Ledger| {
            (ledger.reserved_through, ledger.removals, ledger.floor, ledger.floor_removals)
        };
        if stored(self) != stored(before) {
            let mut statement = connection.prepare_cached(
                "UPDATE log SET reserved_through = ?1, removals = ?2, floor = ?3, floor_removals = ?4",
            )?;
            statement.execute([
                column::offset(self.reserved_through),
                column::number(self.removals),
                column::offset(self.floor),
                column::number(self.floor_removals),
            ])?;
        }
        Ok(())
    }

    /// Notes where the log was left in good order. Nothing may be appended after it.
    pub(super) fn store_clean(&self, connection: &Connection) -> Result<(), Fault> {
        connection.execute(
            "UPDATE log SET clean = 1, tail = ?1, time = ?2",
            [column::offset(self.tail), self.time.as_micros()],
        )?;
        Ok(())
    }

    /// Takes a log up again. If it was not left in good order, the offsets that may have been given out
    /// are burned. From now on it counts as not left in good order.
    pub(super) fn open(connection: &mut Connection, block: u64) -> Result<Opened, Fault> {
        let transaction = connection.transaction()?;
        let (epoch, clean, mut ledger) = load(&transaction)?;
        let before = ledger;
        if !clean {
            ledger.tail = ledger.tail.max(newest_offset(&transaction)?);
            if ledger.reserved_through > ledger.tail {
                burn(&transaction, ledger.tail, ledger.reserved_through)?;
                ledger.tail = ledger.reserved_through;
            }
        }
        ledger.reserve(block);
        ledger.store(&before, &transaction)?;
        transaction.execute("UPDATE log SET clean = 0", [])?;
        let burned = burned(&transaction)?;
        transaction.commit()?;
        Ok(Opened { epoch, ledger, burned })
    }
}

fn load(connection: &Connection) -> Result<(Epoch, bool, Ledger), Fault> {
    let newest =
        connection.query_row("SELECT time FROM records ORDER BY offset DESC LIMIT 1", [], |row| {
            row.time(0)
        });
    let newest = newest.optional().map_err(|error| Fault::at("the newest record", error))?;
    let count = |sql: &str| {
        let count = connection.query_row(sql, [], |row| row.number(0));
        count.map_err(|error| Fault::at("the log's counts", error))
    };
    let empty_topics = count(
        "SELECT count(*) FROM topics WHERE events = 0 AND (end_offset IS NULL OR deleted = 1)",
    )?;
    let keys = count("SELECT count(*) FROM keys")?;
    let parts = count("SELECT count(*) FROM upload_parts")?;
    let next_topic = count("SELECT coalesce(max(id), 0) + 1 FROM topics")?;
    let log = connection.query_row(
        "SELECT epoch, clean, tail, time, reserved_through, removals, floor, floor_removals FROM log",
        [],
        |row| {
            let ledger = Ledger {
                tail: row.offset(2)?,
                time: row.time(3)?.max(newest.unwrap_or_default()),
                reserved_through: row.offset(4)?,
                removals: row.number(5)?,
                floor: row.offset(6)?,
                floor_removals: row.number(7)?,
                next_topic: column::number(next_topic),
                empty_topics,
                keys,
                parts,
            };
            Ok((Epoch::new(row.number(0)?), row.get(1)?, ledger))
        },
    );
    log.map_err(|error| Fault::at("the log's own row", error))
}

/// The highest offset that anything stored tells of, also where the record itself is gone.
fn newest_offset(connection: &Connection) -> Result<Offset, Fault> {
    let newest = connection.query_row(
        "SELECT max(
            (SELECT coalesce(max(offset), 0) FROM records),
            (SELECT coalesce(max(last), 0) FROM topics),
            (SELECT coalesce(max(last), 0) FROM burned),
            (SELECT floor FROM log))",
        [],
        |row| row.offset(0),
    );
    newest.map_err(|error| Fault::at("the newest offset", error))
}

/// Notes that the offsets after `after` are given up. Ranges that touch become one.
fn burn(connection: &Connection, after: Offset, through: Offset) -> Result<(), Fault> {
    /// A program that is killed again and again without an append in between shall not leave a row
    /// each time for ever: beyond so many, ranges that touch become one.
    const RANGES_APART_MAX: i64 = 1_000;
    let (after, through) = (column::offset(after), column::offset(through));
    // Kept apart otherwise: the end of a range is where readers stand who came before the next kill,
    // and they have lost nothing by it.
    let merged = connection.execute(
        "UPDATE burned SET last = ?2 WHERE last = ?1 AND (SELECT count(*) FROM burned) >= ?3",
        [after, through, RANGES_APART_MAX],
    )?;
    if merged == 0 {
        connection
            .execute("INSERT INTO burned (first, last) VALUES (?1 + 1, ?2)", [after, through])?;
    }
    Ok(())
}

fn burned(connection: &Connection) -> Result<Vec<(Offset, Offset)>, Fault> {
    let mut statement = connection.prepare("SELECT first, last FROM burned ORDER BY first")?;
    let ranges = statement.query_map([], |row| Ok((row.offset(0)?, row.offset(1)?)))?;
    ranges.collect::<Result<_, _>>().map_err(|error| Fault::at("a burned range", error))
}
