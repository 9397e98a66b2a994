//! What a question costs: counted in rows, not by a clock.

use super::{Kept, Open, filler};
use crate::cursor::Offset;
use crate::storage::conformance::log::{at, event, filters, request, said};
use crate::storage::sqlite::fault::Fault;
use crate::storage::sqlite::view::View;
use crate::storage::sqlite::{
    capacity, change, excess, key, keys, merge, pack, part, read, row, seek, topic,
};
use crate::storage::{Budget, ReadRequest, Seek};

impl Open {
    /// The answer to a question, and how many rows were looked at for it.
    async fn cost<T: Send + 'static>(
        &self,
        question: impl FnOnce(&View<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> (T, u64) {
        self.storage.view(|view| Ok((question(view)?, view.rows()))).await.unwrap()
    }
}

async fn loud() -> (Kept, Open) {
    let kept = Kept::new();
    let open = kept.open();
    open.log.event("quiet/a", "1").await;
    open.fill(50_000, filler).await;
    open.log.event("quiet/a", "2").await;
    (kept, open)
}

#[tokio::test]
async fn reading_two_events_of_a_quiet_topic_looks_at_two_rows() {
    let (_kept, open) = loud().await;
    let ask = request("quiet/a", Offset::ZERO);
    let (page, rows) = open.cost(move |view| view.read(&ask)).await;
    assert_eq!(said(&page.records), ["quiet/a: 1", "quiet/a: 2"]);
    assert_eq!((page.through, rows), (open.tail(), 2));
}

#[tokio::test]
async fn a_pattern_that_matches_few_of_many_records_is_read_by_their_indices() {
    let (_kept, open) = loud().await;
    let ask = request("quiet/*", Offset::ZERO);
    let (page, rows) = open.cost(move |view| view.read(&ask)).await;
    assert_eq!(page.records.len(), 2);
    assert_eq!(page.through, open.tail());
    assert!(rows < 10, "{rows} rows for two records and one name");
}

#[tokio::test]
async fn a_pattern_that_matches_most_records_is_read_by_a_scan() {
    let (_kept, open) = loud().await;
    let ask = request("**", Offset::ZERO);
    let records = ask.budget.records as u64;
    let (page, rows) = open.cost(move |view| view.read(&ask)).await;
    assert_eq!(page.records.len() as u64, records);
    assert!(rows < records + 100, "{rows} rows for {records} records");
}

#[tokio::test]
async fn a_reader_of_a_pattern_that_is_a_little_behind_looks_at_what_is_new() {
    let (_kept, open) = loud().await;
    let ask = request("**", Offset::new(open.tail().get() - 3));
    let (page, rows) = open.cost(move |view| view.read(&ask)).await;
    assert_eq!((page.records.len(), rows), (3, 3));
}

#[tokio::test]
async fn a_scan_stops_at_its_budget_of_rows() {
    let (_kept, open) = loud().await;
    let budget = Budget { rows: 20, ..Budget::default() };
    let ask = ReadRequest { budget, ..request("quiet/** loud/99", Offset::new(100)) };
    let (page, rows) = open.cost(move |view| view.read(&ask)).await;
    assert!(page.through > Offset::new(100));
    assert!(rows <= 40, "{rows} rows with a budget of 20 for names and as many for records");
}

#[tokio::test]
async fn the_newest_of_a_quiet_topic_cost_what_they_are() {
    let (_kept, open) = loud().await;
    let newest = Seek::Newest { count: 2, before: Offset::MAX };
    let (sought, rows) = open.cost(move |view| view.seek(&filters("quiet/a"), newest)).await;
    assert_eq!((sought.after, rows), (Offset::ZERO, 2));
}

#[tokio::test]
async fn the_newest_of_all_topics_do_not_cost_their_names() {
    let (_kept, open) = loud().await;
    let newest = Seek::Newest { count: 10, before: Offset::MAX };
    let (sought, rows) = open.cost(move |view| view.seek(&filters("**"), newest)).await;
    assert_eq!((sought.after.get(), rows), (open.tail().get() - 10, 10));
}

#[tokio::test]
async fn a_time_is_found_by_halving() {
    let (_kept, open) = loud().await;
    open.log.publish_at(event("a", "later"), at(10)).await;
    let (sought, rows) = open.cost(|view| view.seek(&filters("a"), Seek::Since(at(5)))).await;
    assert_eq!(sought.after, open.tail().previous());
    assert!(rows <= 17, "{rows} rows among 50,000");
}

#[tokio::test]
async fn a_record_in_the_indices_of_two_topics_is_read_once() {
    let kept = Kept::new();
    let open = kept.open();
    for topic in ["a", "b", "a"] {
        open.log.event(topic, "1").await;
    }
    drop(open);
    let sql = "INSERT INTO topic_records SELECT 1, offset, kind, bytes FROM topic_records WHERE topic = 2";
    kept.database().execute_batch(sql).unwrap();
    let records = kept.open().log.all("a b").await;
    assert_eq!(said(&records), ["a: 1", "b: 1", "a: 1"]);
}

#[tokio::test]
async fn every_question_goes_along_an_index() {
    let kept = Kept::new();
    let open = kept.open();
    open.fill(2_000, filler).await;
    let database = kept.database();
    for sql in [
        topic::sql::BY_NAME,
        topic::sql::BY_ID,
        topic::sql::NAMES_FROM,
        topic::sql::REMOVED_AFTER,
        topic::sql::UNSWEPT,
        topic::sql::LONGEST_EMPTY,
        row::BY_OFFSET,
        key::BY_NAME,
        merge::OLDEST,
        merge::NEWEST_EVENTS,
        capacity::OLDEST_OF_ALL,
        change::OLDEST_OF_TOPIC,
        excess::OLDEST_WITH_TIME,
        pack::RUN,
        pack::RECORDS,
        read::SCAN,
        seek::SCAN_BACK,
        seek::FIRST_FROM,
        keys::EXPIRED_KEYS,
        part::BY_NUMBER,
        part::FIRST_UPLOAD,
        part::FORGET,
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
        let whole = |step: &String| step.starts_with("SCAN") && !step.contains("USING");
        assert!(!plan.iter().any(whole), "{sql}: {plan:?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}: {plan:?}");
    }
}
