//! The size limit of the log as a whole.

use super::{LogDir, Open, schema};
use crate::cursor::Offset;
use crate::publish::Publish;
use crate::storage::conformance::log::{appended, at, contents, event, name, request, topic_names};
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::write::pages::pragma;
use crate::storage::{Storage, StorageError, TopicState};

const MIB: u64 = 1 << 20;
const BOUND: u64 = 4 * MIB;
const LARGE: usize = 4_000;

fn bounded(bytes_max: u64) -> LogDir {
    LogDir::with(Limits { bytes_max: Some(bytes_max), ..Limits::default() })
}

/// An event of 4 kB whose data starts with its number.
fn numbered(n: usize) -> Publish {
    event(&format!("loud/{}", n % 20), &format!("{n:07}{}", "x".repeat(LARGE)))
}

impl LogDir {
    /// Size of the database and the write-ahead log.
    fn all_bytes(&self) -> u64 {
        let wal = std::fs::metadata(self.path().join(schema::WAL_FILE));
        self.file_bytes() + wal.map_or(0, |wal| wal.len())
    }

    fn is_within(&self, bound: u64) {
        let bytes = self.all_bytes();
        assert!(bytes <= bound + bound / 4, "{bytes} bytes with a bound of {bound}");
    }
}

impl Open {
    /// Numbers of the events that are left.
    async fn numbers(&self) -> Vec<usize> {
        let records = self.log.all("loud/*").await;
        let data = records.iter().filter_map(|record| record.event());
        data.map(|event| event.data()[..7].parse().unwrap()).collect()
    }

    /// Appends several times the size limit.
    async fn flood(&self) {
        self.fill(5_000, numbered).await;
    }
}

#[tokio::test]
async fn a_log_written_far_beyond_its_limit_keeps_the_newest_events_that_fit() {
    let log_dir = bounded(BOUND);
    let open = log_dir.open();
    open.flood().await;
    open.settle().await;
    log_dir.is_within(BOUND);
    let numbers = open.numbers().await;
    let expected: Vec<usize> = (5_000 - numbers.len()..5_000).collect();
    assert_eq!(numbers, expected, "the newest ones, contiguous");
    let bytes = (numbers.len() * LARGE) as u64;
    assert!(bytes > BOUND * 3 / 4, "only {bytes} bytes of events are left");
    assert_eq!(log_dir.count("records"), i64::try_from(numbers.len()).unwrap());
}

#[tokio::test]
async fn a_log_that_is_written_without_a_pause_stays_bounded() {
    let log_dir = bounded(BOUND);
    let open = log_dir.open();
    for (batches, batch) in [(1_000, 10), (10, 1_000)] {
        // The loop of a writer whose queue is never empty.
        let written = open.storage.log.writes.run(move |writer| {
            let mut pages = 0;
            for n in 0..batches {
                writer.append(
                    (0..batch).map(|m| numbered(n * batch + m)).collect(),
                    at(0),
                    at(0),
                )?;
                writer.maintain();
                pages = pages.max(pragma(&writer.connection, "page_count").unwrap());
            }
            Ok(pages * 4_096)
        });
        let most = written.await.unwrap();
        assert!(most < 4 * BOUND, "40 MB came in {batches} batches and became {most} bytes");
    }
    open.settle().await;
    log_dir.is_within(BOUND);
}

#[tokio::test]
async fn only_readers_of_trimmed_topics_get_a_gap() {
    let log_dir = bounded(BOUND);
    let open = log_dir.open();
    let old = open.log.event("old", "1").await;
    open.flood().await;
    open.log.event("quiet", "1").await;
    open.settle().await;
    for (topic, after) in [("old", Offset::ZERO), ("loud/3", old.offset)] {
        let gap = open.log.gap(topic, after).await.unwrap();
        assert_eq!((gap.deleted, gap.topics), (false, topic_names(&[topic])));
    }
    for topic in ["quiet", "none", "quiet none", "quiet/**"] {
        assert_eq!(open.log.gap(topic, Offset::ZERO).await, None, "{topic}");
    }
    let first = open.log.all("loud/*").await[0].offset();
    assert_eq!(open.log.gap("**", first.previous()).await, None, "nothing was lost after it");
    let trimmed = open.storage.trimmed();
    let left = open.log.all("**").await.len() as u64;
    assert_eq!(trimmed.events, 5_002 - left);
}

#[tokio::test]
async fn an_end_is_trimmed_with_its_topic_and_a_deletion_stays() {
    let log_dir = bounded(BOUND);
    let open = log_dir.open();
    open.log.event("ended", "1").await;
    let end = open.log.end("ended").await;
    open.log.event("deleted", "1").await;
    open.log.delete("deleted").await;
    open.flood().await;
    open.settle().await;
    let gone = TopicState { removed_through: end.offset, ..TopicState::default() };
    assert_eq!(open.log.state("ended").await, gone);
    open.log.event("ended", "again").await;
    assert_eq!(contents(&open.log.all("ended").await), ["ended: again"]);
    assert_eq!(contents(&open.log.all("deleted").await), ["deleted deleted"]);
    assert_eq!(open.log.gap("deleted", Offset::ZERO).await, None);
}

#[tokio::test]
async fn a_topic_that_is_deleted_and_reused_again_and_again_stays_within_the_limit() {
    let log_dir = bounded(BOUND);
    let open = log_dir.open();
    for round in 0..21 {
        open.fill(500, |n| event("again", &format!("{round} {n} {}", "x".repeat(LARGE)))).await;
        if round % 3 == 0 {
            open.log.delete("again").await;
        } else if round % 3 == 1 {
            open.log.end("again").await;
            open.storage.trim(vec![(name("again"), open.tail())]).await.unwrap();
        }
    }
    open.settle().await;
    log_dir.is_within(BOUND);
    let last = open.log.all("again").await.pop().unwrap();
    assert!(last.event().unwrap().data().starts_with("20 499 "));
}

#[tokio::test]
async fn large_events_displace_no_more_than_they_need() {
    let log_dir = bounded(32 * MIB);
    let open = log_dir.open();
    for n in 0..9 {
        open.log.event("large", &format!("{n}{}", "x".repeat((8 << 20) - 1))).await;
        open.settle().await;
    }
    let left = open.log.all("large").await;
    // Four of them and their indexes are slightly larger than the limit.
    assert_eq!(left.len(), 3);
    assert!(left[2].event().unwrap().data().starts_with('8'));
}

#[tokio::test]
async fn the_newest_event_stays_however_large_it_is() {
    let log_dir = bounded(MIB);
    let open = log_dir.open();
    open.log.event("small", "1").await;
    let large = open.log.event("large", &"x".repeat(3 << 20)).await;
    open.settle().await;
    let left = open.log.all("**").await;
    assert_eq!((left.len(), left[0].cursor()), (1, large));
    let copy = log_dir.copy();
    let after = copy.open();
    after.settle().await;
    let left = after.log.all("**").await;
    assert_eq!((left.len(), left[0].cursor()), (1, large), "also after an unclean stop");
    after.fill(500, |_| event("small", &"x".repeat(100))).await;
    after.settle().await;
    assert_eq!(after.log.all("large").await.len(), 0);
    assert_eq!(after.log.all("small").await.len(), 500);
}

#[tokio::test]
async fn a_smaller_limit_applies_to_existing_events() {
    let mut log_dir = bounded(1 << 30);
    log_dir.open().flood().await;
    assert!(log_dir.file_bytes() > 4 * BOUND);
    log_dir.limits.bytes_max = Some(BOUND);
    let open = log_dir.open();
    open.settle().await;
    log_dir.is_within(BOUND);
    assert_eq!(open.numbers().await.pop(), Some(4_999));
    drop(open);
    log_dir.limits.bytes_max = None;
    let open = log_dir.open();
    open.flood().await;
    open.settle().await;
    assert!(log_dir.file_bytes() > 4 * BOUND, "without a limit everything stays");
}

#[tokio::test]
async fn on_a_full_disk_the_limit_makes_room_while_publishers_retry() {
    let mut log_dir =
        LogDir::with(Limits { pages: Some(2_000), bytes_max: None, ..Limits::default() });
    let open = log_dir.open();
    let mut next = 0;
    while open.storage.append(vec![numbered(next)], at(0)).await.is_ok() {
        next += 1;
    }
    drop(open);
    log_dir.limits.bytes_max = Some(BOUND);
    let open = log_dir.open();
    // The hub's clock advances by ten milliseconds with each attempt.
    for attempt in 1..=20_000 {
        let now = crate::Timestamp::from_micros(at(0).as_micros() + attempt * 10_000);
        match open.storage.append(vec![numbered(next)], now).await {
            Ok(_) => next += 1,
            Err(StorageError::Full) => {}
            Err(other) => panic!("{other}"),
        }
        if next == 4_000 {
            break;
        }
    }
    assert_eq!(next, 4_000, "twice as much as the disk holds was written");
    open.settle().await;
    log_dir.is_within(BOUND);
    assert_eq!(open.numbers().await.pop(), Some(3_999));
    assert!(open.storage.read(request("loud/1", Offset::ZERO)).await.is_ok());
}

#[tokio::test]
async fn a_limit_that_is_too_small_causes_no_endless_work() {
    let log_dir = bounded(1);
    let open = log_dir.open();
    for n in 0..100 {
        open.log.event(&format!("t{n}"), "1").await;
        // The test checks only that this ends.
        assert!(open.settle().await < 100);
    }
    assert_eq!(contents(&open.log.all("**").await), ["t99: 1"]);
    appended(&open.log.publish(event("t0", "again")).await);
}
