//! A lease's row.

use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, params};

use super::column::{self, Columns, senseless};
use super::fault::Fault;
use crate::storage::whole_seconds;
use crate::topic::TopicName;

/// Remembers the lease of a topic, or that it has none.
pub(super) fn store(
    connection: &Connection,
    topic: &TopicName,
    lease: Option<Duration>,
) -> Result<(), Fault> {
    let Some(lease) = lease else {
        connection
            .prepare_cached("DELETE FROM leases WHERE topic = ?1")?
            .execute([topic.as_str()])?;
        return Ok(());
    };
    let seconds = column::number(whole_seconds(lease).as_secs());
    connection
        .prepare_cached("INSERT OR REPLACE INTO leases (topic, seconds) VALUES (?1, ?2)")?
        .execute(params![topic.as_str(), seconds])?;
    Ok(())
}

/// All leases, by name.
pub(super) fn all(connection: &Connection) -> Result<Vec<(TopicName, Duration)>, Fault> {
    let mut statement = connection.prepare("SELECT topic, seconds FROM leases ORDER BY topic")?;
    let leases = statement.query_map([], |row| {
        let name: String = row.get(0)?;
        let topic = TopicName::new(name).map_err(|error| senseless(0, Type::Text, error))?;
        Ok((topic, Duration::from_secs(row.number(1)?)))
    })?;
    leases.collect::<Result<_, _>>().map_err(|error| Fault::at("a lease", error))
}
