//! Whether topics agree with what they hold.

use rusqlite::Connection;

use super::super::super::column::{self, Columns};
use super::super::super::fault::Fault;
use super::super::super::row;
use super::super::super::topic::Topic;
use super::super::whole::Whole;
use super::Check;
use crate::cursor::Offset;
use crate::record::{Body, Record};

impl Check<'_> {
    pub(super) fn topics(&mut self, whole: &Whole) -> Result<(), Fault> {
        let mut statement = self.connection.prepare("SELECT id FROM topics ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let checked = Topic::by_id(self.connection, row.get(0)?)
                .and_then(|topic| self.topic(&topic, whole));
            if let Err(fault) = checked {
                self.damage(fault)?;
            }
        }
        Ok(())
    }

    fn topic(&mut self, topic: &Topic, whole: &Whole) -> Result<(), Fault> {
        let name = topic.name.as_str();
        let held = Held::of(self.connection, topic)?;
        if (topic.events, topic.bytes) != (held.events, held.bytes) {
            self.find(format_args!(
                "the topic {name:?}: it counts {} events of {} bytes and holds {} of {}",
                topic.events, topic.bytes, held.events, held.bytes
            ));
        }
        let last_fits =
            held.last.map_or(topic.last <= topic.removed_through, |last| topic.last == last);
        if !last_fits {
            let last = held.last.unwrap_or_default();
            self.find(format_args!(
                "the topic {name:?}: its last offset is {} and should be {last}",
                topic.last
            ));
        }
        for (what, offset) in [("last", topic.last), ("removed_through", topic.removed_through)] {
            if offset > whole.reserved_through {
                self.find(format_args!(
                    "the topic {name:?}: {what} is {offset}, beyond all that was given out ({})",
                    whole.reserved_through
                ));
            }
        }
        if topic.removals > whole.removals {
            self.find(format_args!(
                "the topic {name:?}: its removal {} is beyond those of the log ({})",
                topic.removals, whole.removals
            ));
        }
        if held.left_over {
            self.find(format_args!(
                "the topic {name:?}: it holds records that were removed and are not to be swept"
            ));
        }
        self.end(topic, whole)
    }

    fn end(&mut self, topic: &Topic, whole: &Whole) -> Result<(), Fault> {
        let name = topic.name.as_str();
        let Some((offset, check)) = topic.end else {
            if topic.deleted {
                self.find(format_args!("the topic {name:?}: it is deleted and has no deletion"));
            }
            return Ok(());
        };
        let mut is_its_own = false;
        let end = row::find(self.connection, whole.epoch, offset, |id| {
            is_its_own = id == topic.id;
            Ok(Some(topic.name.clone()))
        })?;
        match end {
            None => self.find(format_args!(
                "the topic {name:?}: the record at offset {offset} is missing, its end"
            )),
            Some(end) if !is_its_own || !is_end(&end, topic.deleted) => self.find(format_args!(
                "the topic {name:?}: the record at offset {offset} is not its end"
            )),
            Some(end) if end.cursor().check != Some(check) => self.find(format_args!(
                "the topic {name:?}: its end at offset {offset} does not fit its check"
            )),
            Some(_) if topic.last != offset => self.find(format_args!(
                "the topic {name:?}: there are records behind its end at offset {offset}"
            )),
            Some(_) => {}
        }
        Ok(())
    }
}

fn is_end(record: &Record, deleted: bool) -> bool {
    match record.body() {
        Body::Event(_) => false,
        Body::End { .. } => !deleted,
        Body::Deleted => deleted,
    }
}

/// What the index says that a topic holds.
struct Held {
    events: u64,
    bytes: u64,
    last: Option<Offset>,
    /// Whether there are removed records which nothing will take off the disk.
    left_over: bool,
}

impl Held {
    fn of(connection: &Connection, topic: &Topic) -> Result<Held, Fault> {
        let mut statement = connection.prepare_cached(
            "SELECT count(*) FILTER (WHERE kind = 0), coalesce(sum(bytes) FILTER (WHERE kind = 0), 0), \
             max(offset), EXISTS (SELECT 1 FROM topic_records WHERE topic = ?1 AND offset > ?3 AND offset <= ?2) \
             FROM topic_records WHERE topic = ?1 AND offset > ?2",
        )?;
        let removed = column::offset(topic.removed_through);
        let swept = topic.sweep_through.map_or(0, column::offset);
        let held = statement.query_row([topic.id, removed, swept], |row| {
            Ok(Held {
                events: row.number(0)?,
                bytes: row.number(1)?,
                last: row.offset_or_none(2)?,
                left_over: row.get(3)?,
            })
        });
        held.map_err(|error| {
            Fault::at(format_args!("the index of the topic {:?}", topic.name.as_str()), error)
        })
    }
}
