//! Inserts the rows and indices of the server directly into SQLite, as a baseline for durable publishing.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, TransactionBehavior, params};
use stentor_hub::storage::SqliteStorage;
use tokio::time::Instant;

use crate::machine::{SERVER_CORE, pin_thread};
use crate::publishers::{EVENT_BYTES, TOPICS};

/// Pages of the write-ahead log between checkpoints, as in the server.
const CHECKPOINT_PAGES: i64 = 4_000;

/// Measures events per second into a new database, in synced transactions of `batch` events, on the server's core.
pub(crate) async fn events_per_second(
    dir: &Path,
    batch: f64,
    topics: usize,
    span: Duration,
) -> anyhow::Result<f64> {
    // This creates the file with its tables.
    drop(SqliteStorage::open(dir)?);
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || {
        pin_thread(SERVER_CORE)?;
        insert(&dir, batch, topics.clamp(1, TOPICS), span)
    })
    .await?
}

fn insert(dir: &Path, batch: f64, topics: usize, span: Duration) -> anyhow::Result<f64> {
    let mut connection = Connection::open(dir.join("log.db"))?;
    for (name, value) in [("cache_size", -(8 << 10)), ("wal_autocheckpoint", CHECKPOINT_PAGES)] {
        connection.pragma_update(None, name, value)?;
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    let data = "e".repeat(EVENT_BYTES);
    let (mut offset, mut pending) = (0, 0.0);
    let begun = Instant::now();
    while begun.elapsed() < span {
        // With a batch of 3.5, transactions have 3 and 4 events in turn.
        pending += batch.max(1.0);
        let rows = pending as i64;
        pending -= rows as f64;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_micros();
        let now = i64::try_from(now)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for row in offset + 1..=offset + rows {
            insert_event(&transaction, row, row % topics as i64, now, &data)?;
        }
        for topic in 0..rows.min(topics as i64) {
            store_topic(&transaction, topic, offset + rows)?;
        }
        transaction.commit()?;
        offset += rows;
    }
    Ok(offset as f64 / begun.elapsed().as_secs_f64())
}

fn insert_event(
    connection: &Connection,
    offset: i64,
    topic: i64,
    now: i64,
    data: &str,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO records (offset, topic, kind, time, type, event_id, retry, publisher_id, attributes, \
         data) VALUES (?1, ?2, 0, ?3, NULL, NULL, NULL, NULL, NULL, ?4)",
    )?;
    statement.execute(params![offset, topic, now, data])?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO topic_records (topic, offset, kind, bytes) VALUES (?1, ?2, 0, ?3)",
    )?;
    statement.execute([topic, offset, EVENT_BYTES as i64])?;
    Ok(())
}

/// Updates the row of a topic, as the server does in each transaction that adds events to it.
fn store_topic(connection: &Connection, topic: i64, last: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO topics (id, name, events, bytes, last, deleted, removed_through, removed_by_delete, \
         removals) VALUES (?1, 'bench/' || ?1, ?2, ?2, ?2, 0, 0, 0, 0) \
         ON CONFLICT (id) DO UPDATE SET events = ?2, bytes = ?2, last = ?2",
    )?;
    statement.execute([topic, last])?;
    Ok(())
}
