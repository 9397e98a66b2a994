//! The file: what it holds, how it is opened, and which versions of it are known.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::SqliteOpenError;
use super::fault::Fault;
use super::options::Durability;
use crate::cursor::Epoch;

/// The name of the database within the log's directory.
pub(super) const FILE: &str = "log.db";
/// How long to wait for another program that looks into the file.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// The name of its write-ahead log.
pub(super) const WAL_FILE: &str = "log.db-wal";
/// The version of the format that is written here. Older ones are migrated, newer ones refused.
const VERSION: i64 = 2;
/// What tells a log from other databases: `Sten` in ASCII.
const APPLICATION_ID: i64 = 0x5374_656e;

/// - `log` is one row: what is known of the log as a whole, see [`Ledger`](super::ledger::Ledger).
/// - `records` are kept by offset, with the large text last, so that a scan need not pass over it.
/// - `topic_records` is the index by topic, a relation of its own, so that a record can have several
///   topics. It also has what trim and the bounds of a page need, so that they need no records.
/// - `keys` are the idempotency keys; a batch over several topics has the scope ''.
/// - `upload_parts` are the running hashes of streamed uploads under a key, by the upload's first offset.
/// - `leases` are the topics that end if nobody publishes to them for so many seconds.
/// - `burned` are the offsets given up after unclean stops.
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

/// What makes the next version of each: version 2 of version 1 at the first place, and so on. A new log
/// is made of the first version in the same way, so there is only one way to each version.
const MIGRATIONS: [&str; 1] = ["
CREATE TABLE upload_parts (
    upload INTEGER NOT NULL,
    part INTEGER NOT NULL,
    hash INTEGER NOT NULL,
    PRIMARY KEY (upload, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE leases (topic TEXT PRIMARY KEY, seconds INTEGER NOT NULL) STRICT, WITHOUT ROWID;
"];

/// The one connection that writes. Creates the log if there is none.
pub(super) fn open_writer(dir: &Path) -> Result<Connection, SqliteOpenError> {
    let path = dir.join(FILE);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = connect(&path, flags).map_err(|error| refused(&path, error))?;
    let found = version(&connection, &path)?;
    if !make_durable(&connection).map_err(Fault::Sqlite)? {
        return Err(SqliteOpenError::NoWal { dir: dir.to_owned() });
    }
    if found != Some(VERSION) {
        migrate(&mut connection, found).map_err(Fault::Sqlite)?;
    }
    Ok(connection)
}

/// A connection that only reads, beside the writing one.
pub(super) fn open_reader(dir: &Path) -> Result<Connection, Fault> {
    let connection = connect(&dir.join(FILE), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "query_only", true)?;
    // Opens what is opened with the first question, so that no question fails for want of files.
    connection.query_row("SELECT epoch FROM log", [], |_| Ok(()))?;
    Ok(connection)
}

/// A connection for a program that only looks into the file, be it of an older version, beside the program
/// that may write it. Tells the version that it found.
pub(super) fn open_beside(dir: &Path) -> Result<(Connection, i64), SqliteOpenError> {
    let path = dir.join(FILE);
    let open = |connection: rusqlite::Result<Connection>| {
        let connection = connection.map_err(|error| refused(&path, error))?;
        match version(&connection, &path)? {
            Some(found) => Ok((connection, found)),
            None => Err(SqliteOpenError::NotALog { path: path.clone() }),
        }
    };
    let opened = open(connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY));
    // Reading a log that uses a write-ahead log makes one. Where that is not allowed and there is none, the
    // log is at rest, as on a medium that cannot be written.
    match (opened, at_rest(&path)) {
        (Err(SqliteOpenError::Sqlite { .. }), Some(at_rest)) if !dir.join(WAL_FILE).exists() => {
            open(connect(Path::new(&at_rest), AT_REST))
        }
        (opened, _) => opened,
    }
}

/// How a file is opened that nobody changes, by its address.
pub(super) const AT_REST: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_URI);

/// The address of a file that nobody changes; only those that are UTF-8 have one.
pub(super) fn at_rest(path: &Path) -> Option<String> {
    let path = path.to_str()?.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Some(format!("file:{path}?immutable=1"))
}

/// Connects, with what holds for all connections. Each is used by one thread at a time.
fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    /// More than there are different statements.
    const STATEMENTS: usize = 64;
    /// In KiB, as SQLite tells them from pages by the sign.
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

/// Sets how the file is written. Says whether the file system can do it.
fn make_durable(connection: &Connection) -> rusqlite::Result<bool> {
    // SQLite's own checkpoints hide their errors, so the writer makes them, see its `checkpoint`. The first
    // of them would follow what is set next, on a full disk too.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Has an effect only before the first table, and must come before the journal mode.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    // A commit is on the disk when it returns, also where a plain fsync is not enough for that.
    set_durability(connection, Durability::Fsync)?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    Ok(mode == "wal")
}

/// Copies the write-ahead log into the file, as far as nobody reads it, and has it begin anew in its place.
pub(super) fn begin_wal_anew(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()))
}

/// Sets whether a commit waits for the disk. Not within a transaction.
pub(super) fn set_durability(
    connection: &Connection,
    durability: Durability,
) -> rusqlite::Result<()> {
    let synchronous = match durability {
        Durability::Fsync => "FULL",
        // Checkpoints still sync in the right order, so the file is whole at any time.
        Durability::Os => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)
}

/// The version of the log, `None` where nothing has been written yet. Changes nothing in the file, for
/// it may be somebody else's.
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
        _ => Fault::Sqlite(error).into(),
    }
}

/// Brings a log to the version that is written here, all at once or not at all; without one it begins
/// a new history.
fn migrate(connection: &mut Connection, found: Option<i64>) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    if found.is_none() {
        transaction.execute_batch(SCHEMA)?;
        // Fifty bits, so the number is never negative.
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
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

/// Makes a log of the first version, as the first release did.
#[cfg(test)]
pub(super) fn create_first_version(dir: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(dir.join(FILE))?;
    make_durable(&connection)?;
    connection.execute_batch(SCHEMA)?;
    connection.execute("INSERT INTO log (id, epoch) VALUES (1, 7)", [])?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", 1)
}
