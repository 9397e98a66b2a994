//! Claims: they keep the filters of a subscription in the index.

use std::sync::Arc;

use super::entry::Entry;
use super::index::Index;
use super::overlap::{Overlap, address};
use crate::filter::Filters;

/// The filters of a subscription in the index, until it is dropped. Forks of the subscription share it.
#[derive(Debug)]
pub(super) struct Claim {
    index: Arc<Index>,
    entries: Box<[Arc<Entry>]>,
    /// `None` if at most one of the filters can match a topic.
    overlap: Option<Arc<Overlap>>,
}

impl Claim {
    pub(super) fn new(index: Arc<Index>, filters: &Filters) -> Claim {
        let entries = index.claim(filters);
        // Two different names never match one topic.
        let may_overlap = entries.len() > 1 && !filters.patterns().is_empty();
        let addresses = || entries.iter().map(address).collect();
        let overlap = may_overlap.then(|| Arc::new(Overlap::new(addresses())));
        if let Some(overlap) = &overlap {
            entries.iter().for_each(|entry| entry.add_overlap(overlap));
        }
        Claim { index, entries, overlap }
    }

    /// The entries of the filters, in the order of the filters.
    pub(super) fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }

    pub(super) fn add_readers(&self, count: usize) {
        self.entries.iter().for_each(|entry| entry.add_readers(count));
        if let Some(overlap) = &self.overlap {
            overlap.add_readers(count);
        }
    }

    pub(super) fn remove_readers(&self, count: usize) {
        if let Some(overlap) = &self.overlap {
            overlap.remove_readers(count);
        }
        self.entries.iter().for_each(|entry| entry.remove_readers(count));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        for entry in &self.entries {
            if let Some(overlap) = &self.overlap {
                entry.remove_overlap(overlap);
            }
            self.index.release(entry);
        }
    }
}
