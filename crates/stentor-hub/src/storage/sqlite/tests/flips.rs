//! One wrong bit anywhere in the file: no reader gets wrong data, each loss is reported, and verify finds it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::{Limits, LogDir};
use crate::cursor::Offset;
use crate::hub::Hub;
use crate::key::{Key, KeyContent};
use crate::lease::LeaseChange;
use crate::publish::Publish;
use crate::record::Record;
use crate::storage::conformance::log::{event, filters, name};
use crate::storage::sqlite::{RepairOptions, SqliteLog, SqliteStorage, schema};
use crate::storage::{Budget, Storage, TopicInfo, TopicsQuery};
use crate::{Filters, GapReason, HistoryRequest, Start, Subscribed};

/// Number of seeds: `STENTOR_FLIP_SEEDS`, or 60.
fn seeds() -> u64 {
    std::env::var("STENTOR_FLIP_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

fn key(topic: &str, name_of: &str, content: KeyContent) -> Key {
    Key {
        scope: Some(name(topic)),
        publisher: "p".to_owned(),
        name: name_of.to_owned(),
        window: std::time::Duration::from_hours(1),
        source: None,
        content,
    }
}

/// A closed log with rows in every table.
async fn filled() -> LogDir {
    let log_dir = LogDir::with(Limits { reserve: 64, ..Limits::default() });
    let open = log_dir.open();
    let topic = |n: usize| format!("{}/{}", ["a", "b", "keep"][n % 3], n % 7);
    open.fill(400, |n| event(&topic(n), &format!("event {n} {}", "x".repeat(n % 90)))).await;
    open.log.publish(event("large", &"large ".repeat(3_000))).await;
    for n in 0..40_u8 {
        let whole = KeyContent::Whole([n; 16]);
        let keyed =
            event("keyed", &format!("keyed {n}")).with_key(key("keyed", &n.to_string(), whole));
        open.log.publish(keyed).await;
        let part = KeyContent::Part { index: u64::from(n), before: [n; 16], after: [n + 1; 16] };
        open.log.publish(event("up", &format!("part {n}")).with_key(key("up", "up", part))).await;
    }
    for n in 0..20 {
        let topic = format!("leased/{n}");
        let change =
            LeaseChange { topic: name(&topic), length: Some(std::time::Duration::from_mins(1)) };
        open.log.publish(Publish { lease: Some(Box::new(change)), ..event(&topic, "1") }).await;
    }
    for n in 0..5 {
        open.log.event(&format!("ended/{n}"), "last").await;
        open.log.end(&format!("ended/{n}")).await;
        open.log.event(&format!("deleted/{n}"), "gone").await;
        open.log.delete(&format!("deleted/{n}")).await;
    }
    open.log.storage.trim(vec![(name("b/1"), Offset::new(200))]).await.unwrap();
    open.settle().await;
    // As after a kill: some offsets are burned.
    let killed = log_dir.copy();
    drop(open);
    let open = killed.open();
    open.fill(200, |n| event(&topic(n), &format!("after the kill {n}"))).await;
    open.settle().await;
    drop(open);
    killed
}

/// A step of a reader: a record or a gap.
#[derive(Clone, Debug, PartialEq)]
enum Got {
    Record(Arc<Record>),
    Gap(GapReason),
}

/// The filters of the readers.
const READERS: [&str; 7] =
    ["**", "a/**", "keep/*", "b/1", "large keyed", "up", "ended/1 deleted/2 leased/3 b/4"];

/// Reads as a stream does, to the tail. Returns an error if a read fails.
async fn read_stream(hub: &Hub, topics: &str, start: Start) -> Result<Vec<Got>, String> {
    let filters: Filters = (*filters(topics)).clone();
    let mut reader = match hub.subscribe(filters, start).await.map_err(|error| error.to_string())? {
        Subscribed::Open(reader) => reader,
        Subscribed::Finished => return Ok(Vec::new()),
    };
    let budget = Budget { records: 50, bytes: 4 << 10, rows: 100 };
    let mut got = Vec::new();
    for _ in 0..2_000 {
        let before = reader.cursor();
        let batch = reader.read_from_storage(budget).await.map_err(|error| error.to_string())?;
        got.extend(batch.gap.map(|gap| Got::Gap(gap.reason)));
        let is_empty = batch.records.is_empty();
        got.extend(batch.records.into_iter().map(Got::Record));
        if reader.is_finished() || is_empty && reader.cursor() == before {
            return Ok(got);
        }
    }
    panic!("the reader of {topics} makes no progress");
}

async fn read_pages(hub: &Hub, topics: &str) -> Result<Vec<Got>, String> {
    let mut start = Start::Earliest;
    let mut got = Vec::new();
    for _ in 0..500 {
        let request =
            HistoryRequest { filters: (*filters(topics)).clone(), start, before: None, limit: 30 };
        let page = hub.history(request).await.map_err(|error| error.to_string())?;
        got.extend(page.gap.map(|gap| Got::Gap(gap.reason)));
        got.extend(page.events.into_iter().map(Got::Record));
        match page.next {
            Some(next) => start = Start::Cursor(next.to_string()),
            None => return Ok(got),
        }
    }
    panic!("the pages of {topics} make no progress");
}

/// Checks what a reader got against what the sound log has. Returns how many records it lost.
fn compare(sound: &[Got], got: &[Got], context: &str) -> usize {
    let records = |all: &[Got]| -> Vec<Arc<Record>> {
        let record = |got: &Got| match got {
            Got::Record(record) => Some(Arc::clone(record)),
            Got::Gap(_) => None,
        };
        all.iter().filter_map(record).collect()
    };
    let mut expected = records(sound).into_iter().peekable();
    let (mut lost, mut is_reported) = (0, true);
    let mut gap = false;
    for step in got {
        match step {
            Got::Gap(_) => gap = true,
            Got::Record(record) => {
                while expected.peek().is_some_and(|next| next.offset() < record.offset()) {
                    expected.next();
                    lost += 1;
                    is_reported &= gap;
                }
                let is_end = record.end_reason() == Some("damaged");
                let next = expected.next();
                assert!(
                    next.as_ref() == Some(record) || is_end,
                    "{context}: wrong data {record:?}, not {next:?}"
                );
                gap = false;
            }
        }
    }
    let rest = expected.count();
    lost += rest;
    is_reported &= rest == 0 || gap;
    assert!(is_reported, "{context}: {lost} records are lost without a gap");
    lost
}

/// All values of all tables, or `None` if they cannot be read.
fn rows(dir: &Path) -> Option<BTreeMap<String, Vec<Vec<Value>>>> {
    let connection = Connection::open(dir.join(schema::FILE)).ok()?;
    let mut all = BTreeMap::new();
    for table in [
        "log",
        "topics",
        "records",
        "topic_records",
        "keys",
        "burned",
        "purged",
        "leases",
        "upload_parts",
        "forgotten",
    ] {
        let mut select = connection.prepare(&format!("SELECT * FROM {table} NOT INDEXED")).ok()?;
        let columns = select.column_count();
        let rows = select.query_map([], |row| (0..columns).map(|at| row.get(at)).collect());
        all.insert(table.to_owned(), rows.ok()?.collect::<Result<_, _>>().ok()?);
    }
    Some(all)
}

fn findings(dir: &Path) -> Vec<String> {
    match SqliteLog::open(dir) {
        Err(error) => vec![error.to_string()],
        Ok(mut log) => {
            let mut findings = Vec::new();
            let verified = log.verify(&mut |note| {
                if let crate::storage::VerifyNote::Finding(finding) = note {
                    findings.push(finding.to_string());
                }
            });
            findings.extend(verified.err().map(|error| error.to_string()));
            findings
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    refused: u64,
    changed_rows: u64,
    found: u64,
    readers_with_a_loss: u64,
    lost_records: usize,
    failed_reads: u64,
    failures: Vec<String>,
}

struct Sound {
    log_dir: LogDir,
    bytes: Vec<u8>,
    rows: BTreeMap<String, Vec<Vec<Value>>>,
    streams: Vec<Vec<Got>>,
    middle: Vec<Vec<Got>>,
    pages: Vec<Vec<Got>>,
    topics: Vec<TopicInfo>,
    cursor: String,
}

async fn topics(hub_storage: &SqliteStorage) -> Result<Vec<TopicInfo>, String> {
    let query = TopicsQuery { limit: 1_000, ..TopicsQuery::default() };
    hub_storage.topics(query).await.map_err(|error| error.to_string())
}

impl Sound {
    async fn new(log_dir: LogDir) -> Sound {
        let bytes = fs::read(log_dir.path().join(schema::FILE)).unwrap();
        let rows = rows(log_dir.path()).unwrap();
        let copy = log_dir.copy();
        let storage = SqliteStorage::open(copy.path()).unwrap();
        let topics = topics(&storage).await.unwrap();
        let hub = Hub::new(storage);
        let mut streams = Vec::new();
        let mut pages = Vec::new();
        for reader in READERS {
            streams.push(read_stream(&hub, reader, Start::Earliest).await.unwrap());
            pages.push(read_pages(&hub, reader).await.unwrap());
        }
        let Some(Got::Record(middle)) = streams[0].get(180) else { panic!("a gap") };
        let cursor = middle.cursor().to_string();
        let mut middle = Vec::new();
        for reader in READERS {
            middle.push(read_stream(&hub, reader, Start::Cursor(cursor.clone())).await.unwrap());
        }
        hub.close().await;
        Sound { log_dir, bytes, rows, streams, middle, pages, topics, cursor }
    }

    /// Returns a copy with one wrong bit, and the place of that bit.
    fn flipped(&self, seed: u64) -> (LogDir, String) {
        let copy = LogDir::with(self.log_dir.limits);
        let mut random = fastrand::Rng::with_seed(seed);
        let (at, bit) = (random.usize(0..self.bytes.len()), random.u8(0..8));
        let mut bytes = self.bytes.clone();
        bytes[at] ^= 1 << bit;
        fs::write(copy.path().join(schema::FILE), bytes).unwrap();
        (copy, format!("seed {seed}, byte {at} (page {}), bit {bit}", at / 4_096 + 1))
    }

    /// Repairs a damaged copy and reads it. Returns `false` if it cannot be repaired.
    async fn repair(&self, seed: u64, from: Option<&Path>, counts: &mut Counts) -> bool {
        let (copy, context) = self.flipped(seed);
        let context = format!("{context}, repaired");
        let options = RepairOptions { from: from.map(Path::to_owned), accept_loss: true };
        if let Err(error) = SqliteLog::repair(copy.path(), &options, &mut |_| {}) {
            counts.failures.push(format!("{context}: {error}"));
            return false;
        }
        assert_eq!(findings(copy.path()), Vec::<String>::new(), "{context}");
        let before = counts.lost_records;
        self.read(&copy, &context, counts).await;
        if counts.lost_records > before {
            counts.failures.push(format!("{context}: lost {}", counts.lost_records - before));
        }
        true
    }

    async fn flip(&self, seed: u64, counts: &mut Counts) {
        let (copy, context) = self.flipped(seed);
        let changed = rows(copy.path()).as_ref() != Some(&self.rows);
        let found = findings(copy.path());
        counts.changed_rows += u64::from(changed);
        counts.found += u64::from(!found.is_empty());
        assert!(!changed || !found.is_empty(), "{context}: rows have changed, verify is silent");
        let lost = self.read(&copy, &context, counts).await;
        assert!(!lost || !found.is_empty(), "{context}: events are lost, verify is silent");
    }

    /// Reads the damaged log in every way. Returns `true` if anything was lost.
    async fn read(&self, copy: &LogDir, context: &str, counts: &mut Counts) -> bool {
        let is_repaired = context.ends_with("repaired");
        let storage = match SqliteStorage::open_with_limits(copy.path(), copy.limits) {
            Ok(storage) => storage,
            Err(error) => {
                counts.refused += 1;
                counts.failures.push(format!("{context}: {error}"));
                return true;
            }
        };
        match topics(&storage).await {
            Ok(topics) if is_repaired => {
                // A topic that lost its only event is not in the list.
                let all = &self.topics;
                let is_known = |topic: &TopicInfo| all.iter().any(|of| of.topic == topic.topic);
                assert!(topics.iter().all(is_known), "{context}: the list of topics");
            }
            Ok(topics) => {
                // A topic whose row is damaged is left out, and counted.
                assert!(topics.iter().all(|topic| self.topics.contains(topic)), "{context}");
                let is_whole = topics.len() == self.topics.len();
                assert!(is_whole || storage.damaged() > 0, "{context}: the list of topics");
            }
            Err(error) => counts.failures.push(format!("{context}: topics: {error}")),
        }
        let hub = Hub::new(storage);
        let mut any = false;
        for (at, reader) in READERS.into_iter().enumerate() {
            let middle = Start::Cursor(self.cursor.clone());
            let reads = [
                (&self.streams[at], read_stream(&hub, reader, Start::Earliest).await, "stream"),
                (&self.middle[at], read_stream(&hub, reader, middle).await, "resumed stream"),
                (&self.pages[at], read_pages(&hub, reader).await, "pages"),
            ];
            for (sound, got, kind) in reads {
                match got {
                    Ok(got) => {
                        let lost = compare(sound, &got, &format!("{context}, {kind} of {reader}"));
                        counts.readers_with_a_loss += u64::from(lost > 0);
                        counts.lost_records += lost;
                        any |= lost > 0;
                    }
                    Err(error) => {
                        counts.failed_reads += 1;
                        counts.failures.push(format!("{context}, {kind} of {reader}: {error}"));
                        any = true;
                    }
                }
            }
        }
        hub.close().await;
        any
    }
}

#[tokio::test]
async fn one_wrong_bit_in_the_database_is_never_served_and_is_found() {
    let sound = Sound::new(filled().await).await;
    let mut counts = Counts::default();
    for seed in 0..seeds() {
        sound.flip(seed, &mut counts).await;
    }
    println!("{} seeds: {counts:#?}", seeds());
    assert_eq!(counts.failed_reads, 0, "a log that opens is read, with gaps");
}

#[tokio::test]
async fn one_wrong_bit_in_a_backup_is_never_served_and_is_found() {
    let log_dir = filled().await;
    let parent = LogDir::with(log_dir.limits);
    let copy = parent.path().join("copy");
    SqliteLog::open(log_dir.path()).unwrap().backup(&copy).unwrap();
    let backup = LogDir::with(log_dir.limits);
    fs::copy(copy.join(schema::FILE), backup.path().join(schema::FILE)).unwrap();
    let sound = Sound::new(backup).await;
    let mut counts = Counts::default();
    for seed in 1_000..1_000 + seeds() {
        sound.flip(seed, &mut counts).await;
    }
    println!("{} seeds: {counts:#?}", seeds());
    assert_eq!(counts.failed_reads, 0, "a log that opens is read, with gaps");
}

#[tokio::test]
async fn a_repair_of_one_wrong_bit_gives_a_sound_log_with_a_gap_for_each_loss() {
    let sound = Sound::new(filled().await).await;
    let mut counts = Counts::default();
    for seed in 0..seeds() / 2 {
        sound.repair(seed, None, &mut counts).await;
    }
    println!("{} seeds: {counts:#?}", seeds() / 2);
    assert_eq!(counts.failed_reads, 0);
}

#[tokio::test]
async fn a_repair_of_one_wrong_bit_from_a_backup_loses_nothing() {
    let sound = Sound::new(filled().await).await;
    let mut counts = Counts::default();
    for seed in 0..seeds() / 2 {
        let backup = sound.log_dir.copy();
        sound.repair(seed, Some(backup.path()), &mut counts).await;
    }
    println!("{} seeds: {counts:#?}", seeds() / 2);
    assert_eq!(counts.failed_reads, 0);
    assert_eq!(counts.lost_records, 0);
}
