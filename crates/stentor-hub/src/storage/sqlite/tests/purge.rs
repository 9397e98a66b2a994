//! The number of pages that a purge writes.

use super::LogDir;
use crate::cursor::Offset;
use crate::storage::conformance::log::{event, name};
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::write::checkpoint::{Checkpoint, checkpoint};
use crate::storage::sqlite::write::pages::pragma;

#[tokio::test]
async fn a_purge_of_several_topics_does_not_write_each_page_once_per_topic() {
    let log_dir = LogDir::with(Limits { compaction_bytes: u64::MAX, ..Limits::default() });
    let open = log_dir.open();
    open.fill(5_000, |n| event(&format!("t{}", n % 10), &format!("{n:0>100}"))).await;
    let written = open.storage.log.writes.run(|writer| {
        let pages = pragma(&writer.connection, "page_count").unwrap();
        checkpoint(&writer.connection, Checkpoint::Restart).unwrap();
        writer.trim((1..10).map(|n| (name(&format!("t{n}")), Offset::MAX)).collect())?;
        while writer.has_maintenance() {
            writer.maintain();
        }
        Ok((pages, checkpoint(&writer.connection, Checkpoint::Noop).unwrap().total))
    });
    let (pages, written) = written.await.unwrap();
    assert_eq!(log_dir.count("records"), 500);
    assert!(written < 4 * pages, "{written} pages were written in a log of {pages}");
}
