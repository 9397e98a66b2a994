//! Queries that take several steps: their bounds, their results, and their order.
//!
//! With `STENTOR_MANY_TOPICS` set to a number of topics, such as 1000000, the tests print times for that many.

use std::sync::mpsc;
use std::time::Duration;

use tokio::time::Instant;

use futures_util::FutureExt;

use super::{LogDir, Open, filler};
use crate::cursor::Offset;
use crate::storage::conformance::log::{event, filters, name, request};
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::read::losses::LossSearch;
use crate::storage::sqlite::read::step::{FIRST_STEP_ROWS, STEP_ROWS};
use crate::storage::sqlite::reads::{QUERIES_MAX, ReadQueue};
use crate::storage::{ReadRequest, Seek, Storage, StorageError, TopicsQuery};

/// Number of topics, of a test that needs many.
fn many(default: usize) -> usize {
    let requested = std::env::var("STENTOR_MANY_TOPICS").ok();
    requested.and_then(|number| number.parse().ok()).unwrap_or(default)
}

/// Prints the time of a query and the number of its steps.
async fn timed<T>(open: &Open, name: &str, query: impl Future<Output = T>) -> (T, u64) {
    let (begun, before) = (Instant::now(), open.storage.queries().steps);
    let result = query.await;
    let steps = open.storage.queries().steps - before;
    println!("{name}: {:?} in {steps} steps", begun.elapsed());
    (result, steps)
}

/// A log with many topics `old/N` of one event each, behind enough newer events of other topics that a scan back does
/// not reach them.
async fn many_old_topics(topics: usize) -> (LogDir, Open) {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(topics, |n| event(&format!("old/{n}"), "1")).await;
    open.fill(11_000, filler).await;
    (log_dir, open)
}

#[tokio::test]
async fn the_newest_events_of_many_old_topics_are_found_in_bounded_steps() {
    let topics = many(6_000);
    let (_kept, open) = many_old_topics(topics).await;
    let newest = |count| Seek::Newest { count, before: Offset::MAX };
    let before = |events: usize| Offset::new((topics - events) as u64);
    for (count, expected) in [(5, before(5)), (5_000, before(5_000)), (topics + 1, Offset::ZERO)] {
        let query = open.storage.seek(filters("old/**"), newest(count));
        let (found, steps) = timed(&open, &format!("last={count}"), query).await;
        assert_eq!(found.unwrap().after, expected);
        // The scan back, the walk over the names, and the merge.
        let rows = (11_000_u64.max(2 * count as u64) + topics as u64) * 2 + 2 * count as u64;
        assert!(steps <= rows / FIRST_STEP_ROWS + 10, "{steps} steps");
    }
    let (found, _) =
        timed(&open, "no match", open.storage.seek(filters("old/*/x"), newest(5))).await;
    assert_eq!(found.unwrap().after, open.tail());
}

#[tokio::test]
async fn no_step_looks_at_more_rows_than_its_maximum() {
    use crate::storage::sqlite::read::newest_each::NewestEachQuery;
    use crate::storage::sqlite::read::page::ReadQuery;
    use crate::storage::sqlite::read::seek::SeekQuery;
    use crate::storage::sqlite::read::step::Stepped;
    use crate::storage::sqlite::read::topics::TopicsList;

    async fn check(open: &Open, name: &str, mut query: impl Stepped) {
        let mut steps = 0;
        loop {
            let (is_done, next, work) = open
                .storage
                .query(move |snapshot| {
                    let result = query.step(snapshot, STEP_ROWS)?;
                    Ok((result.is_some(), query, snapshot.work()))
                })
                .await
                .unwrap();
            // A page has names, records and topics, and a search for losses before it.
            assert!(work <= 4 * STEP_ROWS, "{name}: {work} rows");
            (query, steps) = (next, steps + 1);
            if is_done {
                break;
            }
        }
        println!("{name}: {steps} steps");
    }

    let topics = 10_000;
    let (_kept, open) = many_old_topics(topics).await;
    for text in ["old/**", "old/*/x", "*/x old/5", "**"] {
        for count in [1, 20_000] {
            let seek = Seek::Newest { count, before: Offset::MAX };
            check(&open, text, SeekQuery::new(filters(text), seek)).await;
            check(&open, text, NewestEachQuery::new(&filters(text), count, open.tail(), 10_000))
                .await;
        }
        check(&open, text, ReadQuery::new(request(text, Offset::ZERO))).await;
    }
    let list = |prefix: &str| TopicsQuery { prefix: prefix.to_owned(), limit: 1, after: None };
    check(&open, "list", TopicsList::new(list(""))).await;
    let all = (0..topics).map(|n| (name(&format!("old/{n}")), Offset::MAX));
    open.storage.trim(all.collect()).await.unwrap();
    check(&open, "a list of empty topics", TopicsList::new(list("old/"))).await;
    for text in ["*/x", "**", "old/*/x", "loud/**"] {
        check(&open, text, ReadQuery::new(request(text, Offset::ZERO))).await;
    }
}

#[tokio::test]
async fn a_query_whose_caller_leaves_takes_no_further_step() {
    let (_kept, open) = many_old_topics(20_000).await;
    let newest = Seek::Newest { count: 5, before: Offset::MAX };
    let before = open.storage.queries();
    for _ in 0..30 {
        let mut query = open.storage.seek(filters("old/*/x"), newest);
        assert!((&mut query).now_or_never().is_none(), "its first step runs");
    }
    open.storage.check().await.unwrap();
    let after = open.storage.queries();
    assert_eq!((after.open, after.long), (0, 0));
    assert!(after.steps - before.steps <= 40, "{after:?}: at most one step of each query has run");
    assert_eq!(after.dropped - before.dropped, 30);
}

#[tokio::test]
async fn a_search_for_losses_finds_removals_between_its_steps() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    let mut ids = Vec::new();
    for n in 0..20 {
        ids.push(open.log.event(&format!("x/{n}"), "1").await);
        open.log.event(&format!("x/{n}"), "2").await;
        if n != 0 && n != 7 {
            open.log.trim(&format!("x/{n}"), ids[n]).await;
        }
    }
    // These two lose their records while the search runs. It looks for names that no trimmed topic has.
    let ask = request("*/0 */7 *", Offset::ZERO);
    let mut search = LossSearch::of(&ask);
    for step in 0.. {
        let (found, next) = open
            .storage
            .query(move |snapshot| Ok((search.step(snapshot, 4)?, search)))
            .await
            .unwrap();
        search = next;
        match step {
            0 => open.log.trim("x/7", ids[7]).await,
            2 => open.log.trim("x/0", ids[0]).await,
            _ => {}
        }
        if let Some(losses) = found {
            assert!(step > 3, "it took {step} steps");
            let topics = losses.removed.unwrap().topics;
            assert_eq!(topics, [name("x/0"), name("x/7")]);
            assert_eq!(losses.removals, open.storage.removals());
            break;
        }
    }
}

#[tokio::test]
async fn a_reader_that_catches_up_looks_at_trimmed_topics_of_others_once() {
    let topics = many(6_000);
    let (log_dir, events) = (LogDir::new(), if topics > 100_000 { 20_000 } else { 3_000 });
    let open = log_dir.open();
    open.log.event("chat/0", "first").await;
    open.fill(topics, |n| event(&format!("old/{n}/x"), "1")).await;
    open.fill(topics, |n| event(&format!("old/{n}/x"), "2")).await;
    open.fill(events, |n| event(&format!("chat/{}", n % 5), "1")).await;
    let first = |n: usize| (name(&format!("old/{n}/x")), Offset::new(n as u64 + 2));
    open.storage.trim((0..topics).map(first).collect()).await.unwrap();
    for (text, per_reader) in [("chat/**", 3), ("chat/* */0", 3 + topics as u64 / STEP_ROWS)] {
        let catch_up = async {
            let mut ask = request(text, Offset::new(1));
            let (mut read, mut pages) = (0, 0);
            while ask.after < open.tail() {
                let page = open.storage.read(ask.clone()).await.unwrap();
                assert_eq!(page.removed, None);
                (read, pages) = (read + page.records.len(), pages + 1);
                ask = ReadRequest { after: page.through, losses_reported: page.removals, ..ask };
            }
            assert_eq!(read, events);
            pages
        };
        let (pages, steps) = timed(&open, text, catch_up).await;
        // Pages that find nothing take several steps to pass the other topics.
        let scan = 2 * topics as u64 / FIRST_STEP_ROWS;
        assert!(steps <= pages + scan + per_reader, "{text}: {steps} steps for {pages} pages");
    }
}

#[tokio::test]
async fn other_topics_that_come_and_go_are_no_gap_for_a_reader_of_a_pattern() {
    let topics = many(60);
    let kept = if topics > 100_000 { 100_000 } else { 10 };
    let log_dir = LogDir::with(Limits { empty_topics: kept, ..Limits::default() });
    let open = log_dir.open();
    let cursor = open.log.event("keep/a", "1").await;
    for make in ["gone-{}", "other/{}"] {
        let topic = |n: usize| make.replace("{}", &n.to_string());
        open.fill(topics, |n| event(&topic(n), "1")).await;
        for n in 0..topics {
            open.log.delete(&topic(n)).await;
        }
    }
    open.log.event("keep/b", "1").await;
    open.settle().await;
    assert!(log_dir.count("topics") <= i64::try_from(kept).unwrap() + 2);
    drop(open);
    let open = log_dir.open();
    open.log.event("keep/c", "1").await;
    for filter in ["keep/*", "keep/b keep/new", "other/a/*"] {
        assert_eq!(open.log.gap(filter, cursor).await, None, "{filter}");
    }
    for filter in ["other/*", "gone-1", "other/2", "*", "**"] {
        assert!(open.log.gap(filter, cursor).await.is_some(), "{filter}");
    }
    open.log.event("gone-1", "again").await;
    assert!(open.log.gap("gone-1", cursor).await.is_some());
}

#[tokio::test]
async fn later_steps_never_hold_all_threads() {
    let open = LogDir::new().open();
    let reads = &open.storage.log.reads;
    let mut held = Vec::new();
    for _ in 0..10 {
        let (release, wait) = mpsc::channel::<()>();
        let mut query = reads.begin().unwrap();
        query.becomes_long().unwrap();
        let step = async move { query.run(move |_| Ok(wait.recv().is_err())).await };
        let mut step = step.boxed();
        assert!((&mut step).now_or_never().is_none());
        held.push((release, step));
    }
    for _ in 0..3 {
        open.storage.states(vec![name("a")]).await.unwrap();
    }
    let counts = open.storage.queries();
    assert_eq!((counts.open, counts.long), (10, 10));
    for (release, step) in held {
        drop(release);
        assert_eq!(step.await, Ok(true));
    }
}

#[tokio::test]
async fn a_query_beyond_the_maximum_is_refused_and_a_check_is_not() {
    let open = LogDir::new().open();
    let reads = &open.storage.log.reads;
    let waiting: Vec<_> = (0..QUERIES_MAX).map(|_| reads.begin().unwrap()).collect();
    assert_eq!(open.storage.states(vec![name("a")]).await, Err(StorageError::Busy));
    assert_eq!(open.storage.check().await, Ok(()));
    drop(waiting);
    assert!(open.storage.states(vec![name("a")]).await.is_ok());
    assert_eq!(open.storage.queries().refused, 1);
}

#[test]
fn a_long_query_beyond_the_maximum_is_refused_at_its_second_step() {
    let reads = ReadQueue::with_bounds(3, 10, 2);
    let mut queries: Vec<_> = (0..3).map(|_| reads.begin().unwrap()).collect();
    assert_eq!(queries[0].becomes_long(), Ok(()));
    assert_eq!(queries[0].becomes_long(), Ok(()), "a query counts once");
    assert_eq!(queries[1].becomes_long(), Ok(()));
    assert_eq!(queries[2].becomes_long(), Err(StorageError::Busy));
    queries.remove(0);
    assert_eq!(queries[1].becomes_long(), Ok(()));
}

/// Maximum time of a short query beside many long ones: ten times the target.
const SHORT_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_short_query_does_not_wait_for_a_hundred_long_ones() {
    let (_kept, open) = many_old_topics(many(6_000)).await;
    let newest = Seek::Newest { count: 5, before: Offset::MAX };
    let mut long: Vec<_> =
        (0..100).map(|n| open.storage.seek(filters(&format!("old/*/{n}")), newest)).collect();
    for query in &mut long {
        assert!(query.now_or_never().is_none());
    }
    let short = open.storage.states(vec![name("loud/1")]);
    let (states, steps) =
        timed(&open, "a short query", tokio::time::timeout(SHORT_WITHIN, short)).await;
    assert_eq!(states.unwrap().unwrap()[0].events, 220);
    // The first steps before it, and the later steps that ran in turn or meanwhile.
    assert!(steps <= 150, "{steps} steps");
}
