//! Removed records that a reader has not read.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::name_walk::NameWalk;
use super::rows_with;
use crate::storage::memory::found_losses::FoundLosses;
use crate::storage::memory::log::Log;
use crate::storage::memory::topic::Removal;
use crate::storage::result::Removed;

/// Continues the search for matching topics. Returns `true` if it is complete.
pub(super) fn search(
    found: &mut FoundLosses,
    log: &Log,
    walk: &mut NameWalk,
    rows_max: usize,
) -> bool {
    let rows = rows_with(&found.filters, rows_max);
    let is_complete = walk.go_on(&log.topics, rows, |name, topic| {
        if !topic.is_deleted() {
            found.note_matching(name, topic.removed);
        }
        if found.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    is_complete || found.is_full()
}

/// Returns all losses of the reader, once the search is complete.
pub(super) fn finish(mut found: FoundLosses, log: &Log) -> Option<Removed> {
    let mut unnamed = false;
    let (after, reported) = (found.after, found.reported);
    // For names that are no longer known, a false gap is better than a missed one.
    if log.floor.is_unreported(after, reported) {
        let filters = Arc::clone(&found.filters);
        for name in filters.exact().iter().filter(|name| !log.topics.contains_key(*name)) {
            let loss = log.forgotten.of_name(name.as_str());
            let (through, count) = (loss.through, loss.removals);
            found.note_matching(name, Removal { through, by_delete: false, count });
        }
        unnamed = found.is_empty()
            && !filters.patterns().is_empty()
            && log.forgotten.concerns(&filters, after, reported);
    }
    found.finish(log.removals, unnamed)
}
