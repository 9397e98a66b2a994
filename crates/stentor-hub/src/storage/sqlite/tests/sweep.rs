//! How much is written to take removed records off the disk.

use super::Kept;
use crate::cursor::Offset;
use crate::storage::conformance::log::{event, name};
use crate::storage::sqlite::limits::Limits;
use crate::storage::sqlite::wal::Checkpoint;

#[tokio::test]
async fn topics_that_are_trimmed_together_do_not_have_each_page_written_for_each_of_them() {
    let kept = Kept::with(Limits { pack_bytes: u64::MAX, ..Limits::default() });
    let open = kept.open();
    open.fill(5_000, |n| event(&format!("t{}", n % 10), &format!("{n:0>100}"))).await;
    let written = open.storage.writer.ask(|writer| {
        let pages = writer.pragma("page_count").unwrap();
        writer.checkpoint(Checkpoint::Restart).unwrap();
        writer.trim((1..10).map(|n| (name(&format!("t{n}")), Offset::MAX)).collect())?;
        while writer.has_chores() {
            writer.chore();
        }
        Ok((pages, writer.checkpoint(Checkpoint::Noop).unwrap().pages))
    });
    let (pages, written) = written.await.unwrap();
    assert_eq!(kept.count("records"), 500);
    assert!(written < 4 * pages, "{written} pages were written in a log of {pages}");
}
