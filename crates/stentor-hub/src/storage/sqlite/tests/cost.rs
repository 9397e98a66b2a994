//! The cost of queries, in rows read.

use super::{LogDir, Open, filler};
use crate::cursor::Offset;
use crate::storage::conformance::log::{at, contents, event, filters, request};
use crate::storage::sqlite::db_error::DbError;
use crate::storage::sqlite::read::page::ReadQuery;
use crate::storage::sqlite::read::seek::SeekQuery;
use crate::storage::sqlite::read::snapshot::Snapshot;
use crate::storage::sqlite::read::{losses, merge, newest, page, seek, trim_point};
use crate::storage::sqlite::tables::{forgotten, key, record, topic, upload_part};
use crate::storage::sqlite::write::{compaction, keys, trim};
use crate::storage::{Budget, ReadRequest, Seek};

impl Open {
    /// Runs a query. Returns its result and the number of rows it read.
    async fn cost<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Snapshot<'_>) -> Result<T, DbError> + Send + 'static,
    ) -> (T, u64) {
        self.storage.query(|snapshot| Ok((query(snapshot)?, snapshot.rows()))).await.unwrap()
    }
}

async fn loud() -> (LogDir, Open) {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.log.event("quiet/a", "1").await;
    open.fill(50_000, filler).await;
    open.log.event("quiet/a", "2").await;
    (log_dir, open)
}

#[tokio::test]
async fn reading_two_events_of_a_quiet_topic_reads_two_rows() {
    let (_kept, open) = loud().await;
    let ask = request("quiet/a", Offset::ZERO);
    let (page, rows) = open.cost(move |snapshot| snapshot.run(ReadQuery::new(ask))).await;
    assert_eq!(contents(&page.records), ["quiet/a: 1", "quiet/a: 2"]);
    assert_eq!((page.through, rows), (open.tail(), 2));
}

#[tokio::test]
async fn a_pattern_that_matches_few_of_many_records_is_read_by_their_indexes() {
    let (_kept, open) = loud().await;
    let ask = request("quiet/*", Offset::ZERO);
    let (page, rows) = open.cost(move |snapshot| snapshot.run(ReadQuery::new(ask))).await;
    assert_eq!(page.records.len(), 2);
    assert_eq!(page.through, open.tail());
    assert!(rows < 10, "{rows} rows for two records and one name");
}

#[tokio::test]
async fn a_pattern_that_matches_most_records_is_read_by_a_scan() {
    let (_kept, open) = loud().await;
    let ask = request("**", Offset::ZERO);
    let records = ask.budget.records as u64;
    let (page, rows) = open.cost(move |snapshot| snapshot.run(ReadQuery::new(ask))).await;
    assert_eq!(page.records.len() as u64, records);
    assert!(rows < records + 100, "{rows} rows for {records} records");
}

#[tokio::test]
async fn a_reader_of_a_pattern_that_lags_a_little_reads_only_new_records() {
    let (_kept, open) = loud().await;
    let ask = request("**", Offset::new(open.tail().get() - 3));
    let (page, rows) = open.cost(move |snapshot| snapshot.run(ReadQuery::new(ask))).await;
    assert_eq!((page.records.len(), rows), (3, 3));
}

#[tokio::test]
async fn a_scan_stops_at_its_budget_of_rows() {
    let (_kept, open) = loud().await;
    let budget = Budget { rows: 20, ..Budget::default() };
    let ask = ReadRequest { budget, ..request("quiet/** loud/99", Offset::new(100)) };
    let (page, rows) = open.cost(move |snapshot| snapshot.run(ReadQuery::new(ask))).await;
    assert!(page.through > Offset::new(100));
    assert!(rows <= 40, "{rows} rows with a budget of 20 for names and as many for records");
}

#[tokio::test]
async fn the_newest_events_of_a_quiet_topic_cost_one_row_each() {
    let (_kept, open) = loud().await;
    let newest = Seek::Newest { count: 2, before: Offset::MAX };
    let (sought, rows) =
        open.cost(move |snapshot| snapshot.run(SeekQuery::new(filters("quiet/a"), newest))).await;
    assert_eq!((sought.after, rows), (Offset::ZERO, 2));
}

#[tokio::test]
async fn the_newest_events_of_all_topics_do_not_read_all_names() {
    let (_kept, open) = loud().await;
    let newest = Seek::Newest { count: 10, before: Offset::MAX };
    let (sought, rows) =
        open.cost(move |snapshot| snapshot.run(SeekQuery::new(filters("**"), newest))).await;
    assert_eq!((sought.after.get(), rows), (open.tail().get() - 10, 10));
}

#[tokio::test]
async fn a_time_is_found_by_binary_search() {
    let (_kept, open) = loud().await;
    open.log.publish_at(event("a", "later"), at(10)).await;
    let (sought, rows) =
        open.cost(|snapshot| snapshot.run(SeekQuery::new(filters("a"), Seek::Since(at(5))))).await;
    assert_eq!(sought.after, open.tail().previous());
    assert!(rows <= 17, "{rows} rows among 50,000");
}

#[tokio::test]
async fn every_query_uses_an_index() {
    let log_dir = LogDir::new();
    let open = log_dir.open();
    open.fill(2_000, filler).await;
    let database = log_dir.database();
    for sql in [
        topic::sql::BY_NAME,
        topic::sql::BY_ID,
        topic::sql::NAMES_FROM,
        topic::sql::REMOVED_AFTER,
        topic::sql::REMOVED_SINCE,
        topic::sql::REMOVED_FROM,
        losses::COUNT_NAMES,
        losses::COUNT_REMOVED_AFTER,
        losses::COUNT_REMOVED_SINCE,
        forgotten::LAST_THROUGH,
        forgotten::LAST_BEFORE,
        forgotten::BY_PREFIX,
        forgotten::FROM,
        topic::sql::TO_PURGE,
        topic::sql::LONGEST_EMPTY,
        record::BY_OFFSET,
        key::BY_NAME,
        merge::OLDEST,
        merge::NEWEST_EVENTS,
        trim::OLDEST_OF_ALL,
        trim::OLDEST_OF_TOPIC,
        trim_point::OLDEST_WITH_TIME,
        compaction::RUN,
        compaction::RECORDS,
        page::SCAN,
        newest::SCAN_BACK,
        seek::FIRST_FROM,
        keys::EXPIRED_KEYS,
        upload_part::BY_NUMBER,
        topic::sql::RECORD_WITHIN,
        keys::NEXT_EXPIRY,
        upload_part::DELETE_OLDEST,
    ] {
        let mut statement = database.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        for at in 1..=statement.parameter_count() {
            statement.raw_bind_parameter(at, 1).unwrap();
        }
        let mut rows = statement.raw_query();
        let mut plan = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            plan.push(row.get::<_, String>(3).unwrap());
        }
        let is_full_scan = |step: &String| {
            step.starts_with("SCAN") && !step.contains("USING") && !step.contains("subquery")
        };
        assert!(!plan.iter().any(is_full_scan), "{sql}: {plan:?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}: {plan:?}");
    }
}
