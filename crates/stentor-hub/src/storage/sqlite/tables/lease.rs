//! Rows of `leases`: topics that end if nothing is published to them for some time.

use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, params};

use super::column::{self, Columns, invalid};
use super::sum::{self, Sealed, Sum};
use crate::lease::whole_seconds;
use crate::storage::sqlite::db_error::DbError;
use crate::topic::TopicName;

/// The columns that the checksum covers.
pub(crate) const SEALED: Sealed =
    Sealed { name: "leases", keys: &["topic"], columns: "topic, seconds" };

/// Stores the lease of a topic. Part of a second counts as a whole one. A lease that is stored already is not written
/// again.
pub(crate) fn store(
    connection: &Connection,
    topic: &TopicName,
    lease: Duration,
) -> Result<(), DbError> {
    let seconds = column::number(whole_seconds(lease).as_secs());
    let sum = Sum::new().bytes(topic.as_str().as_bytes()).number(seconds).finish();
    connection
        .prepare_cached(
            "INSERT INTO leases (topic, seconds, sum) VALUES (?1, ?2, ?3) ON CONFLICT (topic) \
             DO UPDATE SET seconds = excluded.seconds, sum = excluded.sum WHERE seconds <> excluded.seconds",
        )?
        .execute(params![topic.as_str(), seconds, sum])?;
    Ok(())
}

/// Deletes the lease of a topic. Returns `false` if it has none.
pub(crate) fn delete(connection: &Connection, topic: &TopicName) -> Result<bool, DbError> {
    let mut statement = connection.prepare_cached("DELETE FROM leases WHERE topic = ?1")?;
    Ok(statement.execute([topic.as_str()])? > 0)
}

/// Returns `true` if the topic has a lease.
pub(crate) fn exists(connection: &Connection, topic: &TopicName) -> Result<bool, DbError> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM leases WHERE topic = ?1")?;
    Ok(statement.exists([topic.as_str()])?)
}

/// Returns all leases, by topic name in byte order.
pub(crate) fn all(connection: &Connection) -> Result<Vec<(TopicName, Duration)>, DbError> {
    let mut statement =
        connection.prepare("SELECT topic, seconds, sum FROM leases ORDER BY topic")?;
    let leases = statement.query_map([], |row| {
        sum::check_columns(row, 2)?;
        let name: String = row.get(0)?;
        let topic = TopicName::new(name).map_err(|error| invalid(0, Type::Text, error))?;
        Ok((topic, Duration::from_secs(row.number(1)?)))
    })?;
    leases.collect::<Result<_, _>>().map_err(|error| DbError::at("a lease", error))
}
