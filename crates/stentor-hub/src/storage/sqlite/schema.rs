//! The database file: its tables, its format versions, and how connections are opened.

mod version_3;

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::db_error::DbError;
use super::open_error::SqliteOpenError;
use super::options::Durability;
use crate::cursor::Epoch;

/// Name of the database file in the log's directory.
pub(super) const FILE: &str = "log.db";
/// Maximum time to wait for another program that has the database locked.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// Name of the write-ahead log in the log's directory.
pub(super) const WAL_FILE: &str = "log.db-wal";
/// Name of SQLite's index of the write-ahead log in the log's directory.
pub(super) const INDEX_FILE: &str = "log.db-shm";
/// Format version that this program writes. Older versions are migrated, newer ones refused.
pub(super) const VERSION: i64 = 3;
/// The first format version with checksums.
pub(super) const SUMS_SINCE: i64 = 3;
/// Marks the database as a log of Stentor: `Sten` in ASCII.
const APPLICATION_ID: i64 = 0x5374_656e;

/// The tables of format version 1. `docs/formats/log.md` describes every column.
///
/// - `log` has one row, the state of the log as a whole.
/// - `records` is ordered by offset. The large text is the last column, so a scan does not have to read past it.
/// - `topic_records` is the index of records by topic. It is a separate table, so a record could have several topics.
///   It has the columns that trimming and paging need, so these do not read `records`.
/// - `keys` has the idempotency keys. A batch over several topics has the scope `''`.
/// - `burned` has the ranges of offsets that were reserved and lost in an unclean stop.
const SCHEMA: &str = "
CREATE TABLE log (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    reserved_through INTEGER NOT NULL DEFAULT 0,
    clean INTEGER NOT NULL DEFAULT 1,
    tail INTEGER NOT NULL DEFAULT 0,
    time INTEGER NOT NULL DEFAULT 0,
    removals INTEGER NOT NULL DEFAULT 0,
    floor INTEGER NOT NULL DEFAULT 0,
    floor_removals INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE topics (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    events INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    last INTEGER NOT NULL,
    end_offset INTEGER,
    end_check INTEGER,
    deleted INTEGER NOT NULL,
    removed_through INTEGER NOT NULL,
    removed_by_delete INTEGER NOT NULL,
    removals INTEGER NOT NULL,
    sweep_through INTEGER
) STRICT;
CREATE INDEX topics_removed ON topics (removed_through) WHERE removed_through > 0 AND deleted = 0;
CREATE INDEX topics_empty ON topics (removed_through) WHERE events = 0 AND (end_offset IS NULL OR deleted = 1);
CREATE INDEX topics_unswept ON topics (id) WHERE sweep_through IS NOT NULL;
CREATE TABLE records (
    offset INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    time INTEGER NOT NULL,
    type TEXT,
    event_id TEXT,
    retry INTEGER,
    publisher_id TEXT,
    attributes BLOB,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX records_publisher_id ON records (publisher_id, topic) WHERE publisher_id IS NOT NULL;
CREATE TABLE topic_records (
    topic INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (topic, offset)
) STRICT, WITHOUT ROWID;
CREATE TABLE keys (
    scope TEXT NOT NULL,
    publisher TEXT NOT NULL,
    name TEXT NOT NULL,
    upload INTEGER NOT NULL,
    hash BLOB NOT NULL,
    count INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    first_check INTEGER NOT NULL,
    last_offset INTEGER NOT NULL,
    last_check INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (scope, publisher, name, upload)
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_expires ON keys (expires);
CREATE TABLE burned (first INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;
";

/// The statements that migrate a log by one version each: from 1 to 2, and so on.
///
/// A new log starts as version 1 and is migrated too, so a version has only one definition.
///
/// - `upload_parts` has the running hash of each part of an upload under a key, by the upload's first offset.
/// - `leases` has the topics that end if nothing is published to them for a number of seconds.
///
/// Version 3 adds checksums, which [`version_3::fill`] computes.
const MIGRATIONS: [&str; 2] = [
    "
CREATE TABLE upload_parts (
    upload INTEGER NOT NULL,
    part INTEGER NOT NULL,
    hash INTEGER NOT NULL,
    PRIMARY KEY (upload, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE leases (topic TEXT PRIMARY KEY, seconds INTEGER NOT NULL) STRICT, WITHOUT ROWID;
",
    version_3::TABLES,
];

/// Opens the connection that writes. Creates or migrates the log if necessary.
pub(super) fn open_writer(dir: &Path) -> Result<Connection, SqliteOpenError> {
    let path = dir.join(FILE);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = connect(&path, flags).map_err(|error| refused(&path, error))?;
    // An error below would otherwise remove the write-ahead log, and the next start would miss it.
    set_checkpoint_at_close(&connection, false).map_err(DbError::Sqlite)?;
    let found = version(&connection, &path)?;
    if !make_durable(&connection).map_err(DbError::Sqlite)? {
        return Err(SqliteOpenError::NoWal { dir: dir.to_owned() });
    }
    if found != Some(VERSION) {
        migrate(&mut connection, found)?;
    }
    Ok(connection)
}

/// Sets whether SQLite runs a checkpoint and removes the write-ahead log when the last connection is closed.
pub(super) fn set_checkpoint_at_close(connection: &Connection, on: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !on).map(drop)
}

/// Opens a connection that only reads. The writer's connection must exist.
pub(super) fn open_reader(dir: &Path) -> Result<Connection, DbError> {
    let connection = connect(&dir.join(FILE), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "query_only", true)?;
    // The first query opens further files. Run one here, so that no later query fails for lack of descriptors.
    connection.query_row("SELECT epoch FROM log", [], |_| Ok(()))?;
    Ok(connection)
}

/// Opens a connection that only reads, also while another process writes. Returns it with the format version.
///
/// Accepts older versions and does not migrate them.
pub(super) fn open_beside(dir: &Path) -> Result<(Connection, i64), SqliteOpenError> {
    let path = dir.join(FILE);
    let open = |connection: rusqlite::Result<Connection>| {
        let connection = connection.map_err(|error| refused(&path, error))?;
        match version(&connection, &path)? {
            Some(found) => {
                show_as_newest(&connection, found).map_err(DbError::Sqlite)?;
                Ok((connection, found))
            }
            None => Err(SqliteOpenError::NotALog { path: path.clone() }),
        }
    };
    let opened = open(connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY));
    // SQLite creates a write-ahead log to read the database. On a read-only medium it cannot. If there is no
    // write-ahead log either, no program is writing the log, so it can be opened as a file that does not change.
    match (opened, at_rest(&path)) {
        (Err(SqliteOpenError::Sqlite { .. }), Some(at_rest)) if !dir.join(WAL_FILE).exists() => {
            open(connect(Path::new(&at_rest), AT_REST))
        }
        (opened, _) => opened,
    }
}

/// Shows a log of an older version to the queries of this one.
fn show_as_newest(connection: &Connection, found: i64) -> rusqlite::Result<()> {
    if found < VERSION {
        connection.execute_batch(version_3::VIEWS)?;
    }
    if found == 2 {
        connection.execute_batch(version_3::VIEWS_OF_VERSION_2)?;
    }
    Ok(())
}

/// Runs `work` on a connection from [`open_beside`] that shows the log as it is stored.
pub(super) fn as_stored<T>(
    connection: &Connection,
    found: i64,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    if found < VERSION {
        connection.execute_batch(version_3::DROP_VIEWS)?;
    }
    let done = work();
    show_as_newest(connection, found)?;
    done
}

/// Flags to open a file that does not change, by the URI from [`at_rest`].
pub(super) const AT_REST: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_URI);

/// Returns the URI that opens a file as one that does not change, or `None` if the path is not UTF-8.
pub(super) fn at_rest(path: &Path) -> Option<String> {
    let path = path.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Some(format!("file:{path}?immutable=1"))
}

/// Opens a connection with the settings that all connections share. One thread at a time may use it.
fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    /// Larger than the number of different statements.
    const STATEMENTS: usize = 64;
    /// Size of the page cache: 8 MiB. A negative number counts KiB, a positive one pages.
    const CACHE: i64 = -(8 << 10);
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "cache_size", CACHE)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(connection)
}

/// Sets how the file is written. Returns `false` if the file system does not support a write-ahead log.
fn make_durable(connection: &Connection) -> rusqlite::Result<bool> {
    // SQLite's automatic checkpoints hide their errors, so the writer runs its own. They are turned off first:
    // the next statement could start one, also on a full disk.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // This must be set before the journal mode, and before the first table is created.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    // A commit is on the disk when it returns, also on systems where `fsync` alone does not guarantee that.
    set_durability(connection, Durability::Fsync)?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(mode == "wal")
}

/// Sets whether a commit waits for the disk. Must not be called within a transaction.
pub(super) fn set_durability(
    connection: &Connection,
    durability: Durability,
) -> rusqlite::Result<()> {
    let synchronous = match durability {
        Durability::Fsync => "FULL",
        // Checkpoints still sync in the right order, so the file is consistent at any time.
        Durability::Os => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)
}

/// Returns the format version of the log, or `None` if the database is empty.
///
/// Does not write: the file may belong to another program.
fn version(connection: &Connection, path: &Path) -> Result<Option<i64>, SqliteOpenError> {
    let number = |sql| {
        let number = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        number.map_err(|error| refused(path, error))
    };
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    match (application, version) {
        (0, 0) if tables == 0 => Ok(None),
        (APPLICATION_ID, 1..=VERSION) => Ok(Some(version)),
        (APPLICATION_ID, found) if found > VERSION => {
            Err(SqliteOpenError::Newer { found, known: VERSION })
        }
        _ => Err(SqliteOpenError::NotALog { path: path.to_owned() }),
    }
}

fn refused(path: &Path, error: rusqlite::Error) -> SqliteOpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => SqliteOpenError::NotALog { path: path.to_owned() },
        _ => DbError::Sqlite(error).into(),
    }
}

/// Migrates a log to [`VERSION`] in one transaction. Creates it, with a new epoch, if `found` is `None`.
fn migrate(connection: &mut Connection, found: Option<i64>) -> Result<(), DbError> {
    let transaction = connection.transaction()?;
    if found.is_none() {
        transaction.execute_batch(SCHEMA)?;
        // An epoch has 50 bits, so the number is never negative.
        transaction.execute(
            "INSERT INTO log (id, epoch) VALUES (1, ?1)",
            [Epoch::random().get().cast_signed()],
        )?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    let done = found.map_or(0, |version| usize::try_from(version - 1).unwrap_or_default());
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    version_3::fill(&transaction)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

/// Creates a log of format version 1, as the first release did.
#[cfg(test)]
pub(super) fn create_first_version(dir: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(dir.join(FILE))?;
    make_durable(&connection)?;
    connection.execute_batch(SCHEMA)?;
    connection.execute("INSERT INTO log (id, epoch) VALUES (1, 7)", [])?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", 1)
}
