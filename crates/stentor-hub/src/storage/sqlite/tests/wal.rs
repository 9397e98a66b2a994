//! Damage of the write-ahead log.

use std::fs::{self, OpenOptions};

use fastrand::Rng;

use super::{LogDir, Open, schema};
use crate::publish::Publish;
use crate::storage::conformance::log::{contents, event};
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::{Durability, SqliteLog, SqliteOpenError, SqliteStorage};

/// Number of flipped bits. `STENTOR_FLIP_SEEDS` changes it.
const SEEDS: u64 = 50;
const FRAME: usize = 4096 + 24;
const HEADER: usize = 32;

fn seeds() -> std::ops::Range<u64> {
    let given = std::env::var("STENTOR_FLIP_SEEDS").ok();
    0..given.map_or(SEEDS, |seeds| seeds.parse().expect("the number of seeds is a number"))
}

/// A killed log, and the events that were acknowledged, each in its own transaction.
struct Killed {
    log_dir: LogDir,
    acknowledged: Vec<String>,
}

impl Killed {
    async fn new(limits: Limits, events: usize, bytes: usize) -> Killed {
        let log_dir = LogDir::with(limits);
        let open = log_dir.open();
        for n in 0..events {
            open.log.publish(numbered(n, bytes)).await;
        }
        let killed = log_dir.copy();
        let acknowledged = contents(&open.log.all("**").await);
        assert_eq!(acknowledged.len(), events);
        Killed { log_dir: killed, acknowledged }
    }

    async fn events(&self) -> Vec<String> {
        contents(&self.log_dir.open().log.all("**").await)
    }

    fn wal(&self) -> Vec<u8> {
        fs::read(self.log_dir.path().join(schema::WAL_FILE)).unwrap()
    }

    fn write_wal(&self, bytes: &[u8]) {
        fs::write(self.log_dir.path().join(schema::WAL_FILE), bytes).unwrap();
    }

    /// The numbers of the frames that end a transaction of the last generation, from 0.
    fn commits(&self) -> Vec<usize> {
        let wal = self.wal();
        let salts = wal[16..24].to_vec();
        let frames = wal[HEADER..].chunks_exact(FRAME).enumerate();
        let commits = frames
            .filter(|(_, frame)| frame[8..16] == salts[..] && frame[4..8] != [0; 4])
            .map(|(number, _)| number);
        commits.collect()
    }
}

fn numbered(n: usize, bytes: usize) -> Publish {
    event(&format!("t/{}", n % 7), &format!("{n} {}", "x".repeat(bytes)))
}

fn flip(bytes: &mut [u8], at: usize, bit: u8) {
    bytes[at] ^= 1 << bit;
}

fn open_error(log_dir: &LogDir) -> Option<SqliteOpenError> {
    SqliteStorage::open_with_limits(log_dir.path(), log_dir.limits).err()
}

#[tokio::test]
async fn a_flipped_bit_after_a_kill_loses_nothing_unsaid_but_the_last_transaction() {
    let (mut refused, mut last_lost) = (0, 0);
    for seed in seeds() {
        let mut rng = Rng::with_seed(seed);
        let killed = Killed::new(Limits::default(), rng.usize(5..30), rng.usize(..9_000)).await;
        let mut wal = killed.wal();
        let end = HEADER + (killed.commits().last().unwrap() + 1) * FRAME;
        flip(&mut wal, rng.usize(..end), rng.u8(..8));
        killed.write_wal(&wal);
        match open_error(&killed.log_dir) {
            Some(SqliteOpenError::DamagedWal { .. }) => refused += 1,
            Some(other) => panic!("seed {seed}: {other}"),
            None => {
                let (events, all) = (killed.events().await, killed.acknowledged.len());
                assert!(
                    events == killed.acknowledged[..events.len()],
                    "seed {seed}: a wrong event"
                );
                assert!(events.len() + 1 >= all, "seed {seed}: {} of {all}", events.len());
                last_lost += u64::from(events.len() < all);
            }
        }
    }
    println!("{refused} refused, {last_lost} lost the last transaction");
    assert!(refused > last_lost);
}

#[tokio::test]
async fn every_field_of_a_frame_before_the_last_transaction_is_checked() {
    let killed = Killed::new(Limits::default(), 3, 10).await;
    let (wal, commits) = (killed.wal(), killed.commits());
    let second_to_last = commits[commits.len() - 2];
    let bits = |bytes: usize| (0..bytes).flat_map(|byte| (0..8).map(move |bit| (byte, bit)));
    for (byte, bit) in bits(24) {
        let mut damaged = wal.clone();
        flip(&mut damaged, HEADER + second_to_last * FRAME + byte, bit);
        killed.write_wal(&damaged);
        let error = open_error(&killed.log_dir);
        assert!(
            matches!(error, Some(SqliteOpenError::DamagedWal { .. })),
            "{byte}.{bit}: {error:?}"
        );
    }
    for (byte, bit) in bits(HEADER) {
        let mut damaged = wal.clone();
        flip(&mut damaged, byte, bit);
        killed.write_wal(&damaged);
        let error = open_error(&killed.log_dir);
        assert!(matches!(error, Some(SqliteOpenError::DamagedWal { .. })), "header: {byte}.{bit}");
    }
    killed.write_wal(&wal);
    assert_eq!(killed.events().await, killed.acknowledged);
}

#[tokio::test]
async fn a_last_transaction_torn_in_any_order_of_sectors_is_dropped() {
    for seed in 0..30 {
        let mut rng = Rng::with_seed(seed);
        let killed = Killed::new(Limits::default(), 20, rng.usize(..60_000)).await;
        let commits = killed.commits();
        let start = HEADER + (commits[commits.len() - 2] + 1) * FRAME;
        let mut wal = killed.wal();
        for sector in start.div_ceil(512)..wal.len().div_ceil(512) {
            let end = wal.len().min((sector + 1) * 512);
            if rng.bool() {
                wal[sector * 512..end].fill(0);
            }
        }
        killed.write_wal(&wal);
        let events = killed.events().await;
        assert!(events == killed.acknowledged[..events.len()], "seed {seed}");
        assert!(events.len() >= 19, "seed {seed}: {}", events.len());
    }
}

#[tokio::test]
async fn frames_of_an_older_generation_behind_the_end_are_not_damage() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    for n in 0..30 {
        open.log.publish(numbered(n, 5_000)).await;
    }
    // The write-ahead log is copied, and the next commit overwrites it from its start.
    let restarted = open.storage.log.writes.run(|writer| {
        let kind = crate::storage::sqlite::write::checkpoint::Checkpoint::Restart;
        crate::storage::sqlite::write::checkpoint::checkpoint(&writer.connection, kind).unwrap();
        Ok(())
    });
    restarted.await.unwrap();
    open.log.publish(numbered(30, 10)).await;
    let copy = log_dir.copy();
    assert!(copy.wal_bytes() > 30 * 5_000, "the older frames are still there");
    assert_eq!(contents(&copy.open().log.all("**").await).len(), 31);
}

#[tokio::test]
async fn a_torn_transaction_does_not_look_like_a_later_one_after_the_next_crash() {
    let killed = Killed::new(Limits::default(), 20, 5_000).await;
    let mut wal = killed.wal();
    let commits = killed.commits();
    // The disk lost most of an operating system's crash, which `os` allows.
    crate::storage::sqlite::last_run::LastRun::current(Durability::Os)
        .write(killed.log_dir.path())
        .unwrap();
    flip(&mut wal, HEADER + (commits[3] + 1) * FRAME + 100, 1);
    killed.write_wal(&wal);
    let open = killed.log_dir.open();
    let before = open.log.all("**").await.len();
    assert!(before < 10, "{before}");
    open.log.publish(numbered(20, 10)).await;
    let again = killed.log_dir.copy();
    drop(open);
    // The last transaction is torn.
    let end = again.wal_bytes();
    truncate(&again, end - 100);
    let events = again.open().log.all("**").await.len();
    assert!(events >= before, "{events}");
}

#[tokio::test]
async fn with_durability_os_a_damaged_end_is_recovered() {
    let limits = Limits { durability: Durability::Os, ..Limits::default() };
    let killed = Killed::new(limits, 20, 1_000).await;
    let mut wal = killed.wal();
    flip(&mut wal, HEADER + killed.commits()[10] * FRAME + 100, 1);
    killed.write_wal(&wal);
    let events = killed.events().await;
    assert_eq!(events, killed.acknowledged[..events.len()]);
    assert!((1..20).contains(&events.len()), "{}", events.len());
}

#[tokio::test]
async fn a_missing_write_ahead_log_after_a_kill_is_refused_and_a_closed_log_has_none() {
    let killed = Killed::new(Limits::default(), 5, 10).await;
    fs::remove_file(killed.log_dir.path().join(schema::WAL_FILE)).unwrap();
    let error = open_error(&killed.log_dir).unwrap();
    assert!(matches!(error, SqliteOpenError::MissingFile { .. }), "{error}");
    assert!(error.to_string().contains("stentor log repair --accept-loss"), "{error}");
    let tool = SqliteLog::open(killed.log_dir.path()).err().unwrap().to_string();
    assert!(tool.contains("is missing"), "{tool}");

    let closed = LogDir::new();
    drop(closed.open());
    assert!(!closed.path().join("unclosed").exists());
    closed.open();
}

#[tokio::test]
async fn a_missing_database_after_a_kill_is_refused() {
    let killed = Killed::new(Limits::default(), 5, 10).await;
    fs::remove_file(killed.log_dir.path().join(schema::FILE)).unwrap();
    let error = open_error(&killed.log_dir).unwrap();
    assert!(matches!(error, SqliteOpenError::MissingFile { .. }), "{error}");
    assert!(!killed.log_dir.path().join(schema::FILE).exists(), "no empty log took its place");
}

#[tokio::test]
async fn a_write_ahead_log_cut_after_a_kill_is_refused_while_its_index_is_there() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    for n in 0..20 {
        open.log.publish(numbered(n, 100)).await;
    }
    for keep in [0, HEADER as u64, (HEADER + 9 * FRAME) as u64] {
        let killed = log_dir.copy();
        fs::copy(log_dir.path().join("log.db-shm"), killed.path().join("log.db-shm")).unwrap();
        truncate(&killed, keep);
        let error = open_error(&killed);
        assert!(matches!(error, Some(SqliteOpenError::DamagedWal { .. })), "{keep}: {error:?}");
    }
    let killed = log_dir.copy();
    fs::copy(log_dir.path().join("log.db-shm"), killed.path().join("log.db-shm")).unwrap();
    assert_eq!(killed.open().log.all("**").await.len(), 20);
}

#[tokio::test]
async fn the_tools_refuse_a_damaged_write_ahead_log_until_the_loss_is_accepted() {
    let killed = Killed::new(Limits::default(), 20, 1_000).await;
    let mut wal = killed.wal();
    let commits = killed.commits();
    let damaged = commits[commits.len() - 6];
    flip(&mut wal, HEADER + damaged * FRAME + 100, 1);
    killed.write_wal(&wal);
    let error = SqliteLog::open(killed.log_dir.path()).err().unwrap().to_string();
    assert!(error.contains(&format!("frame {} is invalid", damaged + 1)), "{error}");
    assert!(error.contains("stentor log repair --accept-loss"), "{error}");
    assert!(open_error(&killed.log_dir).is_some(), "reading it changes nothing");

    let dropped = SqliteLog::accept_loss(killed.log_dir.path()).unwrap().unwrap();
    assert_eq!(dropped.transactions, 6);
    assert!(dropped.pages >= 6, "{dropped:?}");
    let events = killed.events().await;
    assert_eq!(events, killed.acknowledged[..14]);
    assert_eq!(dropped.last.get(), 14);
    assert_eq!(SqliteLog::accept_loss(killed.log_dir.path()).unwrap(), None, "nothing is lost now");
}

#[tokio::test]
async fn accepting_the_loss_keeps_the_database_if_it_is_newer_than_the_damage() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    for n in 0..30 {
        open.log.publish(numbered(n, 2_000)).await;
    }
    // Everything is copied into the database. A reader keeps the write-ahead log from starting again.
    let kept = open.settle_and_publish(numbered(30, 10)).await;
    let killed = Killed { log_dir: log_dir.copy(), acknowledged: kept };
    let mut wal = killed.wal();
    flip(&mut wal, HEADER + killed.commits()[5] * FRAME + 100, 1);
    killed.write_wal(&wal);
    assert!(open_error(&killed.log_dir).is_some());
    let dropped = SqliteLog::accept_loss(killed.log_dir.path()).unwrap().unwrap();
    assert!(dropped.last.get() >= 30, "{dropped:?}");
    let events = killed.events().await;
    assert!(events.len() >= 30, "{}", events.len());
    assert_eq!(events, killed.acknowledged[..events.len()]);
    assert_eq!(super::tools::findings(killed.log_dir.path()), Vec::<String>::new());
}

impl Open {
    /// Copies the write-ahead log into the database while a reader keeps it, then publishes. Returns all events.
    async fn settle_and_publish(&self, publish: Publish) -> Vec<String> {
        let copied = self.storage.log.writes.run(|writer| {
            let reader = rusqlite::Connection::open(writer.dir.join(schema::FILE)).unwrap();
            reader.execute_batch("BEGIN; SELECT * FROM log;").unwrap();
            let kind = crate::storage::sqlite::write::checkpoint::Checkpoint::Passive;
            crate::storage::sqlite::write::checkpoint::checkpoint(&writer.connection, kind)
                .unwrap();
            Ok(reader)
        });
        let _reader = copied.await.unwrap();
        self.log.publish(publish).await;
        contents(&self.log.all("**").await)
    }
}

fn truncate(log_dir: &LogDir, bytes: u64) {
    let path = log_dir.path().join(schema::WAL_FILE);
    OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}
