//! The measure of all durable publishing: the same rows and indices, inserted straight into SQLite.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rusqlite::{Connection, TransactionBehavior, params};
use stentor_hub::storage::SqliteStorage;
use tokio::time::Instant;

use crate::load::{EVENT_BYTES, TOPICS};
use crate::machine::{SERVER_CORE, pin_thread};

/// Pages of the write-ahead log between checkpoints, as in the server.
const CHECKPOINT_PAGES: i64 = 4_000;

/// How many events a second go into a fresh database in transactions of so many, each synced, on the
/// server's core.
pub(crate) async fn events_per_second(
    dir: &Path,
    batch: f64,
    topics: usize,
    span: Duration,
) -> anyhow::Result<f64> {
    // Dropped at once: what is wanted is the file with its tables.
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
    let (mut offset, mut owed) = (0, 0.0);
    let begun = Instant::now();
    while begun.elapsed() < span {
        // A mean of 3.5 is three and four in turn.
        owed += batch.max(1.0);
        let rows = owed as i64;
        owed -= rows as f64;
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

/// A topic's row changes with each transaction that adds to it.
fn store_topic(connection: &Connection, topic: i64, last: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO topics (id, name, events, bytes, last, deleted, removed_through, removed_by_delete, \
         removals) VALUES (?1, 'bench/' || ?1, ?2, ?2, ?2, 0, 0, 0, 0) \
         ON CONFLICT (id) DO UPDATE SET events = ?2, bytes = ?2, last = ?2",
    )?;
    statement.execute([topic, last])?;
    Ok(())
}
