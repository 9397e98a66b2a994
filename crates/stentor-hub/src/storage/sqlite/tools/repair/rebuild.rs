//! Writes a new log from what is sound in a damaged one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};

use super::repaired::Repaired;
use super::salvage::{LogFields, Salvage};
use crate::cursor::Offset;
use crate::record::{Body, Record};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::schema;
use crate::storage::sqlite::tables::column::{self, Columns};
use crate::storage::sqlite::tables::purged::{self, Purged};
use crate::storage::sqlite::tables::record::{self, Inserts};
use crate::storage::sqlite::tables::sum::{self, Sealed, seal};
use crate::storage::sqlite::tables::topic::{self, Topic};
use crate::storage::sqlite::tables::{burned, forgotten, key, lease, log, upload_part};
use crate::storage::sqlite::tools::error::ToolError;
use crate::topic::TopicName;

/// A new log that is being written.
pub(super) struct Rebuild<'a> {
    new: &'a Connection,
    old: &'a Salvage<'a>,
    notify: &'a mut dyn FnMut(String),
    done: Repaired,
    /// The records of the new log: the last one of each topic, with the row id of the topic.
    newest: HashMap<i64, Newest>,
    /// Records that the index has and that are lost, by row id of the topic.
    lost: BTreeSet<(i64, Offset)>,
}

/// The newest record of a topic.
struct Newest {
    name: TopicName,
    offset: Offset,
    /// The check of an end or a deletion, and `true` for a deletion.
    end: Option<(crate::cursor::Check, bool)>,
}

impl<'a> Rebuild<'a> {
    /// Creates the log in `folder` and closes it. All of it is then in one file.
    pub(super) fn run(
        folder: &Path,
        old: &'a Salvage<'a>,
        notify: &'a mut dyn FnMut(String),
    ) -> Result<Repaired, ToolError> {
        let connection = schema::open_writer(folder)?;
        let transaction = connection.unchecked_transaction()?;
        let mut rebuild = Rebuild {
            new: &transaction,
            old,
            notify,
            done: Repaired::default(),
            newest: HashMap::new(),
            lost: BTreeSet::new(),
        };
        rebuild.all()?;
        let done = rebuild.done;
        transaction.commit()?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(done)
    }

    fn all(&mut self) -> Result<(), DbError> {
        self.records()?;
        self.find_lost()?;
        for table in [
            burned::SEALED,
            purged::SEALED,
            key::SEALED,
            upload_part::SEALED,
            lease::SEALED,
            forgotten::SEALED,
        ] {
            self.rows(table)?;
        }
        self.orphans()?;
        self.restore()?;
        self.index()?;
        self.topics()?;
        self.holes()?;
        self.log()
    }

    fn records(&mut self) -> Result<(), DbError> {
        let old = self.old;
        let mut inserts = Inserts::prepare(self.new)?;
        old.each_record(|record, topic| {
            // The index is written later, in its own order.
            inserts.insert_record(&record, topic)?;
            self.note(&record, topic);
            self.done.records += 1;
            Ok(())
        })
    }

    fn note(&mut self, record: &Record, topic: i64) {
        let end = match record.body() {
            Body::Event(_) => None,
            body => record.cursor().check.map(|check| (check, *body == Body::Deleted)),
        };
        let newest = Newest { name: record.topic().clone(), offset: record.offset(), end };
        match self.newest.get(&topic) {
            Some(known) if known.offset > record.offset() => {}
            _ => drop(self.newest.insert(topic, newest)),
        }
    }

    /// Finds the records that the old index has and the new log has not.
    fn find_lost(&mut self) -> Result<(), DbError> {
        let old = self.old;
        let mut exists =
            self.new.prepare("SELECT 1 FROM records WHERE offset = ?1 AND topic = ?2")?;
        old.each_entry(|topic, entry| {
            if !exists.exists([column::offset(entry.offset), topic])? {
                self.lost.insert((topic, entry.offset));
            }
            Ok(())
        })
    }

    /// Copies the sound rows of a small table.
    fn rows(&mut self, table: Sealed) -> Result<(), DbError> {
        let Sealed { name, columns, .. } = table;
        let width = columns.split(',').count();
        let marks: Vec<String> = (1..=width + 1).map(|at| format!("?{at}")).collect();
        let mut insert = self.new.prepare(&format!(
            "INSERT OR IGNORE INTO {name} ({columns}, sum) VALUES ({})",
            marks.join(", ")
        ))?;
        let mut lost = 0;
        let mut sources = vec![self.old.connection];
        if name == "keys" || name == "burned" {
            sources.extend(self.old.backup);
        }
        for (at, source) in sources.into_iter().enumerate() {
            if at > 0 && lost == 0 {
                break;
            }
            let mut select = source.prepare(&format!("SELECT {columns}, sum FROM {name}"))?;
            let mut rows = select.query([])?;
            loop {
                let row = match rows.next().map_err(DbError::from) {
                    Ok(Some(row)) => row,
                    Ok(None) => break,
                    Err(error) if error.is_corrupt() => {
                        lost += u64::from(at == 0);
                        break;
                    }
                    Err(error) => return Err(error),
                };
                let values: rusqlite::Result<Vec<Value>> =
                    (0..=width).map(|at| row.get(at)).collect();
                match (sum::check_columns(row, width), values) {
                    // The statement fails if a value has the type of another column.
                    (Ok(()), Ok(values)) if insert.execute(params_from_iter(&values)).is_ok() => {}
                    _ => lost += u64::from(at == 0),
                }
            }
        }
        if lost > 0 {
            (self.notify)(format!("the table `{name}`: {lost} damaged rows are left out"));
            if name == "forgotten" {
                // Everything that was removed from forgotten topics counts as removed from each of them.
                self.new.execute("DELETE FROM forgotten", [])?;
                self.new.execute(
                    "INSERT INTO forgotten (prefix, removed_through, removals, sum) VALUES ('', ?1, ?2, 0)",
                    [column::offset(self.old.log.floor), column::number(self.old.log.floor_removals)],
                )?;
                seal(self.new, table, "true")?;
            }
            // Ranges without records are found again.
            self.done.lost_rows += if name == "purged" { 0 } else { lost };
        }
        Ok(())
    }

    /// Deletes parts of uploads whose key is lost, and shortens an upload to its contiguous newest parts.
    fn orphans(&mut self) -> Result<(), DbError> {
        self.new.execute_batch(
            "DELETE FROM upload_parts WHERE NOT EXISTS \
             (SELECT 1 FROM keys WHERE first_offset = upload AND upload_parts.part < count AND keys.upload = 1);
             DELETE FROM upload_parts WHERE part < (SELECT coalesce(max(p.part), -1) FROM upload_parts p \
             WHERE p.upload = upload_parts.upload AND p.part < (SELECT count - 1 FROM keys k \
             WHERE k.first_offset = p.upload AND k.upload = 1) AND NOT EXISTS (SELECT 1 FROM upload_parts n \
             WHERE n.upload = p.upload AND n.part = p.part + 1)) + 1;",
        )?;
        // Without its newest part, an upload cannot go on.
        self.new.execute_batch(
            "DELETE FROM keys WHERE upload = 1 AND EXISTS (SELECT 1 FROM upload_parts WHERE upload = first_offset) \
             AND NOT EXISTS (SELECT 1 FROM upload_parts WHERE upload = first_offset AND part = count - 1);
             DELETE FROM upload_parts WHERE NOT EXISTS \
             (SELECT 1 FROM keys WHERE first_offset = upload_parts.upload AND keys.upload = 1);",
        )?;
        Ok(())
    }

    /// Restores lost records from the backup.
    fn restore(&mut self) -> Result<(), DbError> {
        let Some(backup) = self.old.backup else { return Ok(()) };
        let mut inserts = Inserts::prepare(self.new)?;
        let ids: HashMap<TopicName, i64> =
            self.names().into_iter().map(|(id, name)| (name, id)).collect();
        let mut offsets: BTreeSet<Offset> = self.lost.iter().map(|(_, offset)| *offset).collect();
        for (first, last) in self.unexplained()? {
            let mut select = backup
                .prepare_cached("SELECT offset FROM records WHERE offset BETWEEN ?1 AND ?2")?;
            let found = select
                .query_map([column::offset(first), column::offset(last)], |row| row.offset(0))?;
            for offset in found {
                offsets.insert(offset?);
            }
        }
        for offset in offsets {
            let found = record::find(backup, self.old.log.epoch, offset, |id| {
                Ok(Some(Topic::by_id(backup, id)?.name))
            });
            let Ok(Some(record)) = found else { continue };
            let Some(id) = ids.get(record.topic()).copied() else { continue };
            let is_removed = self
                .old
                .topics
                .get(&id)
                .is_some_and(|topic| record.offset() <= topic.removed_through);
            let is_known = self.lost.contains(&(id, offset));
            if is_removed && !is_known {
                continue;
            }
            inserts.insert_record(&record, id)?;
            self.lost.remove(&(id, offset));
            self.note(&record, id);
            self.done.restored += 1;
            (self.notify)(format!(
                "the record at offset {offset} (topic {:?}): restored from the backup",
                record.topic().as_str()
            ));
        }
        Ok(())
    }

    /// The names of the topics, by row id.
    fn names(&self) -> BTreeMap<i64, TopicName> {
        let known = self.old.topics.iter().map(|(id, topic)| (*id, topic.name.clone()));
        let proven = self.newest.iter().map(|(id, newest)| (*id, newest.name.clone()));
        known.chain(proven).collect()
    }

    /// Writes the index of records by topic. A lost record keeps its entry, at which readers get a gap.
    fn index(&mut self) -> Result<(), DbError> {
        let names = self.names();
        self.lost.retain(|(topic, _)| names.contains_key(topic));
        self.new.execute_batch("CREATE TEMP TABLE lost (topic INTEGER, offset INTEGER)")?;
        let mut insert = self.new.prepare("INSERT INTO temp.lost VALUES (?1, ?2)")?;
        for (topic, offset) in &self.lost {
            insert.execute([*topic, column::offset(*offset)])?;
            let is_readable =
                self.old.topics.get(topic).is_none_or(|topic| *offset > topic.removed_through);
            self.done.lost += u64::from(is_readable);
            let name = names.get(topic).map_or("?", |name| name.as_str());
            (self.notify)(format!("the record at offset {offset} (topic {name:?}) is lost"));
        }
        let mut select = self.new.prepare(
            "SELECT topic, offset, kind, octet_length(data) + coalesce(octet_length(type), 0) FROM records \
             UNION ALL SELECT topic, offset, ?1, 0 FROM temp.lost ORDER BY 1, 2",
        )?;
        let mut insert = self.new.prepare(record::INSERT_ENTRY)?;
        let mut rows = select.query([record::LOST])?;
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

    /// Writes the topics, with counts from the index.
    fn topics(&mut self) -> Result<(), DbError> {
        for (id, name) in self.names() {
            let sound = self.old.topics.get(&id);
            let mut topic = match sound {
                Some(topic) => topic.clone(),
                None => self.topic_again(id, name)?,
            };
            let held = self.new.query_row(
                "SELECT count(*) FILTER (WHERE kind = 0), coalesce(sum(bytes) FILTER (WHERE kind = 0), 0), \
                 coalesce(max(offset), 0) FROM topic_records WHERE topic = ?1 AND offset > ?2",
                [id, column::offset(topic.removed_through)],
                |row| Ok((row.number(0)?, row.number(1)?, row.offset(2)?)),
            )?;
            (topic.events, topic.bytes) = (held.0, held.1);
            topic.last = match held.2 {
                Offset::ZERO => topic.last.min(topic.removed_through),
                last => last,
            };
            topic.store(self.new)?;
        }
        topic::seal_all(self.new)
    }

    /// Computes the row of a topic again. It has all records that are left.
    fn topic_again(&mut self, id: i64, name: TopicName) -> Result<Topic, DbError> {
        (self.notify)(format!("the topic {:?}: its row is computed again", name.as_str()));
        let newest = self.newest.get(&id);
        let (offset, end) =
            newest.map_or((Offset::ZERO, None), |newest| (newest.offset, newest.end));
        let deleted = end.is_some_and(|(_, deleted)| deleted);
        let first = self.new.query_row(
            "SELECT coalesce(min(offset), 1) FROM topic_records WHERE topic = ?1",
            [id],
            |row| row.offset(0),
        )?;
        let removed_through = if deleted { offset.previous() } else { first.previous() };
        Ok(Topic {
            id,
            name,
            events: 0,
            bytes: 0,
            last: offset,
            end: end.map(|(check, _)| (offset, check)),
            deleted,
            removed_through,
            removed_by_delete: deleted,
            removals: if deleted { 0 } else { self.old.log.removals },
            purge_through: deleted.then_some(removed_through),
        })
    }

    /// Ranges of offsets without a record that is purged, burned or in the index.
    fn unexplained(&self) -> Result<Vec<(Offset, Offset)>, DbError> {
        let mut select = self.new.prepare("SELECT offset FROM records ORDER BY offset")?;
        let mut rows = select.query([])?;
        let (mut ranges, mut before) = (Vec::new(), Offset::ZERO);
        let end = log::newest_offset(self.old.connection).unwrap_or_default();
        loop {
            let offset = match rows.next()? {
                Some(row) => row.offset(0)?,
                None => end.next(),
            };
            let mut next = before.next();
            while let Some((lost, _)) = purged::first_lost(self.new, next, offset.previous())? {
                let through = self.end_of_range(lost, offset.previous())?;
                ranges.push((lost, through));
                next = through.next();
            }
            if offset > end {
                return Ok(ranges);
            }
            before = offset;
        }
    }

    fn end_of_range(&self, first: Offset, last: Offset) -> Result<Offset, DbError> {
        let next = self.new.query_row(
            "SELECT min(coalesce((SELECT min(first) FROM purged WHERE first > ?1), ?2 + 1), \
             coalesce((SELECT min(first) FROM burned WHERE first > ?1), ?2 + 1), ?2 + 1)",
            [column::offset(first), column::offset(last)],
            |row| row.offset(0),
        )?;
        Ok(next.previous())
    }

    /// Notes the offsets without a record as lost, so that readers of patterns get a gap there.
    fn holes(&mut self) -> Result<(), DbError> {
        for (first, last) in self.unexplained()? {
            let known = self.lost.iter().filter(|(_, at)| (first..=last).contains(at)).count();
            if (known as u64) < last.get() - first.get() + 1 {
                self.done.lost += 1;
                (self.notify)(format!("the records at offsets {first} to {last} are lost"));
            }
            purged::store(self.new, Purged { first, last, lost: true })?;
        }
        Ok(())
    }

    fn log(&mut self) -> Result<(), DbError> {
        let LogFields {
            epoch,
            reserved_through,
            clean,
            tail,
            time,
            removals,
            floor,
            floor_removals,
        } = self.old.log;
        self.new.execute(
            "UPDATE log SET epoch = ?1, reserved_through = ?2, clean = ?3, tail = ?4, time = ?5, removals = ?6, \
             floor = ?7, floor_removals = ?8",
            params![
                column::number(epoch.get()),
                column::offset(reserved_through),
                clean,
                column::offset(tail),
                time.as_micros(),
                column::number(removals),
                column::offset(floor),
                column::number(floor_removals),
            ],
        )?;
        Ok(seal(self.new, log::SEALED, "true")?)
    }
}
