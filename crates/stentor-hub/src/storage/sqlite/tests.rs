//! Tests of the SQLite log: its behaviour and its costs.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::last_run::LastRun;
use super::limits::Limits;
use super::{SqliteOpenError, SqliteStorage, schema, tables};
use crate::cursor::Offset;
use crate::publish::Publish;
use crate::storage::conformance::log::event;
use crate::storage::conformance::{Fresh, Log};

mod capacity;
mod compaction;
mod cost;
mod damage;
mod durable;
mod files;
mod flips;
mod full;
mod keys;
mod migration;
mod purge;
mod space;
mod steps;
mod tools;
mod uploads;
mod wal;

crate::conformance_tests!(|| async {
    let open = |ground: &VerifiedDir| SqliteStorage::open(ground.0.path()).unwrap();
    Fresh::on(VerifiedDir::default(), open)
});

/// The conformance suite with the smallest possible steps.
mod in_small_steps {
    use super::{Fresh, Limits, SqliteStorage, VerifiedDir};

    crate::conformance_tests!(|| async {
        let limits = Limits {
            reserve: 2,
            trim_rows: 1,
            slice_rows: 1,
            compaction_rows: 3,
            compaction_gain: 0,
            compaction_part: u64::MAX,
            compaction_bytes: 0,
            first_step_rows: 1,
            step_rows: 1,
            ..Limits::default()
        };
        Fresh::on(VerifiedDir::default(), move |ground| {
            SqliteStorage::open_with_limits(ground.0.path(), limits).unwrap()
        })
    });
}

/// The directory of a scenario. When it is dropped, the log in it must pass verification.
struct VerifiedDir(TempDir);

impl Default for VerifiedDir {
    fn default() -> VerifiedDir {
        VerifiedDir(tempfile::tempdir().unwrap())
    }
}

impl Drop for VerifiedDir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(tools::findings(self.0.path()), Vec::<String>::new());
        }
    }
}

/// The directory of a log, which outlives the open log.
struct LogDir {
    dir: TempDir,
    limits: Limits,
}

/// An open log.
struct Open {
    log: Log,
    storage: Arc<SqliteStorage>,
}

impl LogDir {
    fn new() -> LogDir {
        LogDir::with(Limits::default())
    }

    fn with(limits: Limits) -> LogDir {
        LogDir { dir: tempfile::tempdir().unwrap(), limits }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn open(&self) -> Open {
        let storage = Arc::new(SqliteStorage::open_with_limits(self.path(), self.limits).unwrap());
        let log = Log::of(Arc::clone(&storage) as Arc<dyn crate::storage::Storage>);
        Open { log, storage }
    }

    fn refused(&self) -> SqliteOpenError {
        match SqliteStorage::open(self.path()) {
            Ok(_) => panic!("it was opened"),
            Err(error) => error,
        }
    }

    /// Copies the files as they are at this moment, as a kill would leave them.
    fn copy(&self) -> LogDir {
        let copy = LogDir::with(self.limits);
        for file in [schema::FILE, "log.db-wal", "ballast", "lock", LastRun::FILE] {
            if self.path().join(file).exists() {
                std::fs::copy(self.path().join(file), copy.path().join(file)).unwrap();
            }
        }
        copy
    }

    /// Opens the database directly. The write-ahead log of a killed log stays when the connection is closed.
    fn database(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.path().join(schema::FILE)).unwrap();
        let is_closed = !self.path().join(LastRun::FILE).exists();
        schema::set_checkpoint_at_close(&connection, is_closed).unwrap();
        connection
    }

    /// Computes the checksums of all rows but records, as if this program had written what they contain.
    fn seal(&self) {
        seal_all(&self.database());
    }

    fn count(&self, table: &str) -> i64 {
        self.database()
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
            .unwrap()
    }

    fn file_bytes(&self) -> u64 {
        std::fs::metadata(self.path().join(schema::FILE)).unwrap().len()
    }

    fn wal_bytes(&self) -> u64 {
        std::fs::metadata(self.path().join(schema::WAL_FILE)).unwrap().len()
    }

    fn ballast_bytes(&self) -> u64 {
        std::fs::metadata(self.path().join("ballast")).unwrap().len()
    }

    fn holds_ballast(&self) -> bool {
        std::fs::metadata(self.path().join("ballast")).is_ok_and(|file| file.len() > 0)
    }
}

impl Open {
    /// Runs all maintenance, including the parts that wait for an idle log. Returns the number of slices.
    async fn settle(&self) -> usize {
        let settled = self.storage.log.writes.run(|writer| {
            let mut slices = 0;
            // An idle log may find more maintenance, twice.
            for _ in 0..3 {
                while writer.has_maintenance() {
                    writer.maintain();
                    slices += 1;
                }
                writer.idle();
            }
            assert!(writer.is_settled());
            Ok(slices)
        });
        settled.await.unwrap()
    }

    /// Appends a number of events in large batches.
    async fn fill(&self, events: usize, make: impl Fn(usize) -> Publish) {
        for from in (0..events).step_by(1_000) {
            self.log.append((from..events.min(from + 1_000)).map(&make).collect()).await;
        }
    }

    fn tail(&self) -> Offset {
        self.log.storage.bounds().tail
    }
}

pub(super) fn filler(n: usize) -> Publish {
    event(&format!("loud/{}", n % 50), &format!("event {n}"))
}

/// A large event. One of ten is in the topic `small`, the others are in `big`.
fn large(n: usize) -> Publish {
    const BYTES: usize = 10_000;
    event(if n.is_multiple_of(10) { "small" } else { "big" }, &"x".repeat(BYTES))
}

fn seal_all(connection: &rusqlite::Connection) {
    tables::topic::seal_all(connection).unwrap();
    for table in [
        tables::log::SEALED,
        tables::burned::SEALED,
        tables::purged::SEALED,
        tables::key::SEALED,
        tables::upload_part::SEALED,
        tables::lease::SEALED,
        tables::record::SEALED_ENTRY,
    ] {
        tables::sum::seal(connection, table, "true").unwrap();
    }
}
