//! All filters: exact names and patterns.

use std::sync::Arc;

use super::entry::Entry;
use super::names::Names;
use super::patterns::Patterns;
use crate::filter::{Filters, TopicFilter};
use crate::topic::TopicName;

/// The filters of all subscriptions, each once.
#[derive(Debug, Default)]
pub(super) struct Index {
    names: Names,
    patterns: Patterns,
}

impl Index {
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.patterns.is_empty()
    }

    /// Locks everything that a publisher locks to look up a topic.
    #[cfg(test)]
    pub(super) fn lock_all(&self) -> impl Sized {
        (self.names.lock_all(), self.patterns.lock_all())
    }

    /// Number of names and of nodes of tries.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.names.len() + self.patterns.nodes()
    }

    /// Returns the entries of these filters, each with one more claim.
    pub(super) fn claim(&self, filters: &Filters) -> Box<[Arc<Entry>]> {
        let names = filters.exact().iter().map(|name| self.names.claim(name));
        names.chain(filters.patterns().iter().map(|pattern| self.patterns.claim(pattern))).collect()
    }

    /// Removes a claim of an entry, and with the last claim the entry.
    pub(super) fn release(&self, entry: &Arc<Entry>) {
        match &entry.filter {
            TopicFilter::Exact(name) => self.names.release(name, entry),
            TopicFilter::Pattern(_) => self.patterns.release(entry),
        }
    }

    /// Calls `found` for each filter that matches this topic. Returns the number of steps of the walks.
    pub(super) fn find(&self, topic: &TopicName, mut found: impl FnMut(&Arc<Entry>)) -> usize {
        self.names.find(topic, &mut found);
        self.patterns.find(topic, found)
    }
}
