//! Pages of records.

use super::name_walk::NameWalk;
use super::{STEP_ROWS_MIN, Stepped, losses, rows_with};
use crate::storage::memory::found_losses::FoundLosses;
use crate::storage::memory::log::Log;
use crate::storage::query::{Budget, ReadRequest};
use crate::storage::result::Page;

/// See [`Storage::read`](crate::storage::Storage::read).
///
/// The last step of the search for losses reads the page. If a step finds neither a record nor a loss, the next one
/// continues after the records that it considered.
pub(crate) struct ReadQuery {
    request: ReadRequest,
    /// Number of rows that the request allows for the next steps.
    rows_left: usize,
    search: Option<Search>,
}

/// A search for losses that takes several steps.
struct Search {
    walk: NameWalk,
    /// The number of its [`FoundLosses`] in the log, to which the log adds removals between steps.
    number: u64,
}

impl ReadQuery {
    pub(crate) fn new(request: ReadRequest) -> ReadQuery {
        ReadQuery { rows_left: request.budget.rows, search: None, request }
    }

    /// Ends the query before it is complete.
    pub(crate) fn cancel(&mut self, log: &mut Log) {
        if let Some(search) = self.search.take() {
            log.searches.remove(&search.number);
        }
    }

    /// Continues the search for losses. Returns `None` if another step is needed.
    fn search(&mut self, log: &mut Log, rows_max: usize) -> Option<FoundLosses> {
        let (mut found, mut walk) = match self.search.take() {
            Some(search) => {
                let found = log.searches.remove(&search.number);
                (found.unwrap_or_else(|| FoundLosses::of(&self.request)), search.walk)
            }
            None => (FoundLosses::of(&self.request), NameWalk::new(&self.request.filters)),
        };
        if self.request.losses_reported >= log.removals
            || losses::search(&mut found, log, &mut walk, rows_max)
        {
            return Some(found);
        }
        log.last_search += 1;
        log.searches.insert(log.last_search, found);
        self.search = Some(Search { walk, number: log.last_search });
        None
    }
}

impl Stepped for ReadQuery {
    type Output = Page;

    fn step(&mut self, log: &mut Log, rows_max: usize) -> Option<Page> {
        let found = self.search(log, rows_max)?;
        let removed = if self.request.losses_reported >= log.removals {
            None
        } else {
            losses::finish(found, log)
        };
        let ReadRequest { filters, after, until, budget, .. } = &self.request;
        let until = (*until).min(log.tail);
        let rows = rows_with(filters, rows_max).max(STEP_ROWS_MIN).min(self.rows_left);
        let budget = Budget { rows, ..*budget };
        let page = log.records.read_lock().ring.read(filters, *after, until, budget);
        self.rows_left -= rows;
        let page = Page { removed, removals: log.removals, ..page };
        let is_done = !page.records.is_empty() || page.removed.is_some() || page.through >= until;
        if is_done || self.rows_left == 0 {
            return Some(page);
        }
        self.request.after = page.through;
        self.request.losses_reported = self.request.losses_reported.max(page.removals);
        None
    }
}
