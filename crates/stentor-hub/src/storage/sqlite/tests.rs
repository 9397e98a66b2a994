//! What a user of the log can see, and what it must not cost.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::limits::Limits;
use super::{SqliteOpenError, SqliteStorage, schema};
use crate::cursor::Offset;
use crate::publish::Publish;
use crate::storage::conformance::log::event;
use crate::storage::conformance::{Fresh, Log};

mod capacity;
mod cost;
mod damage;
mod durable;
mod full;
mod pack;
mod space;
mod sweep;
mod tools;
mod uploads;

crate::conformance_tests!(|| async {
    let open = |ground: &Sound| SqliteStorage::open(ground.0.path()).unwrap();
    Fresh::on(Sound::default(), open)
});

/// The same contract, with everything done in steps that are as small as they can be.
mod in_small_steps {
    use super::{Fresh, Limits, Sound, SqliteStorage};

    crate::conformance_tests!(|| async {
        let limits = Limits {
            reserve: 2,
            trim_rows: 1,
            slice_rows: 1,
            pack_rows: 3,
            pack_gain: 0,
            pack_part: u64::MAX,
            pack_bytes: 0,
            ..Limits::default()
        };
        Fresh::on(Sound::default(), move |ground| {
            SqliteStorage::open_within(ground.0.path(), limits).unwrap()
        })
    });
}

/// The directory of a scenario. Whatever happened in it, the log is sound in the end.
struct Sound(TempDir);

impl Default for Sound {
    fn default() -> Sound {
        Sound(tempfile::tempdir().unwrap())
    }
}

impl Drop for Sound {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(tools::findings(self.0.path()), Vec::<String>::new());
        }
    }
}

/// A log on a directory of its own.
struct Kept {
    dir: TempDir,
    limits: Limits,
}

/// A log that is open.
struct Open {
    log: Log,
    storage: Arc<SqliteStorage>,
}

impl Kept {
    fn new() -> Kept {
        Kept::with(Limits::default())
    }

    fn with(limits: Limits) -> Kept {
        Kept { dir: tempfile::tempdir().unwrap(), limits }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn open(&self) -> Open {
        let storage = Arc::new(SqliteStorage::open_within(self.path(), self.limits).unwrap());
        let log = Log::of(Arc::clone(&storage) as Arc<dyn crate::storage::Storage>);
        Open { log, storage }
    }

    fn refused(&self) -> SqliteOpenError {
        match SqliteStorage::open(self.path()) {
            Ok(_) => panic!("it was opened"),
            Err(error) => error,
        }
    }

    /// The files as they are on the disk at this moment, as after a power failure.
    fn copy(&self) -> Kept {
        let copy = Kept::with(self.limits);
        for file in [schema::FILE, "log.db-wal", "ballast", "lock"] {
            if self.path().join(file).exists() {
                std::fs::copy(self.path().join(file), copy.path().join(file)).unwrap();
            }
        }
        copy
    }

    /// Works on the file behind the log's back.
    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path().join(schema::FILE)).unwrap()
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
        self.path().join("ballast").exists()
    }
}

impl Open {
    /// Has the writer do all that it would do in time. Returns in how many slices.
    async fn settle(&self) -> usize {
        let settled = self.storage.writer.ask(|writer| {
            let mut slices = 0;
            // What is given back while nothing is asked makes work that can be done at once, twice.
            for _ in 0..3 {
                while writer.has_chores() {
                    writer.chore();
                    slices += 1;
                }
                writer.idle();
            }
            assert!(writer.is_settled());
            Ok(slices)
        });
        settled.await.unwrap()
    }

    /// Appends so many events, many at a time.
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

/// One of ten is in `small`, the others are in `big`.
fn large(n: usize) -> Publish {
    const BYTES: usize = 10_000;
    event(if n.is_multiple_of(10) { "small" } else { "big" }, &"x".repeat(BYTES))
}
