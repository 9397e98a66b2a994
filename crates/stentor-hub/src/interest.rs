//! Interest: an index over the filters of all subscriptions. It finds the listeners that a commit wakes, and counts the
//! readers of a topic.
//!
//! A publish looks up its topic: one hash lookup among the exact names, and a walk through the tries of patterns. It
//! notifies the listeners that it finds, which are the live groups of shards and single subscriptions that wait at the
//! tail. Readers that lag are counted only.
//!
//! **No wake-up is missed.** A commit first pushes its records into the live window (1) and then looks for listeners
//! (2). A reader first listens, or re-arms its listener (3), and then reads the window up to the tail (4). The lock of
//! the window orders (1) and (4). If (4) comes first, then (3) comes before (2), so the commit finds the listener
//! armed. If (1) comes first, the reader finds the records. This also holds for the counts that let (2) skip an empty
//! index, which are written before (3) and read after (1).

mod claim;
mod entry;
mod index;
mod listener;
mod listening;
mod names;
mod overlap;
mod patterns;
mod registration;
mod shards;
mod step;
mod trie;

use std::collections::HashSet;
use std::sync::Arc;

use self::entry::Entry;
use self::index::Index;
pub(crate) use self::listening::Listening;
use self::overlap::address;
pub(crate) use self::registration::Registration;
use crate::filter::Filters;
use crate::record::Record;
use crate::topic::TopicName;

/// Maximum number of overlapping sets of filters that a count of readers examines. Beyond it, a reader with several
/// matching filters may be counted once for each of them.
const OVERLAPS_MAX: usize = 256;

/// The filters of all subscriptions. Cheap to clone; clones share one index.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interest(Arc<Index>);

impl Interest {
    /// Registers one reader with these filters until the returned registration is dropped. It is not woken before
    /// [`Registration::listen`].
    pub(crate) fn register(&self, filters: &Filters) -> Registration {
        Registration::new(Arc::clone(&self.0), filters)
    }

    /// Notifies the listeners whose filters match the topics of these records. Returns the number of steps that the
    /// walks through the patterns took.
    pub(crate) fn wake(&self, records: &[Arc<Record>]) -> usize {
        let mut steps = 0;
        if self.0.is_empty() {
            return steps;
        }
        let mut previous = None;
        for record in records {
            let topic = record.topic();
            // Waking twice is harmless, but runs of records of one topic are frequent.
            if previous.replace(topic) != Some(topic) {
                steps += self.0.find(topic, |entry| entry.notify(record.offset()));
            }
        }
        steps
    }

    /// Number of readers whose filters match this topic.
    pub(crate) fn subscribers(&self, topic: &TopicName) -> usize {
        let mut matching = Vec::new();
        self.0.find(topic, |entry| matching.push(Arc::clone(entry)));
        let count: usize = matching.iter().map(|entry| entry.readers()).sum();
        count.saturating_sub(counted_again(&matching))
    }
}

/// Returns how many times too many the readers with several of these filters are counted in the sum of all readers.
fn counted_again(matching: &[Arc<Entry>]) -> usize {
    if matching.len() < 2 {
        return 0;
    }
    // A set with two of these filters is in at least one list besides the longest.
    let mut entries: Vec<_> = matching.iter().map(|entry| (entry.overlaps(), entry)).collect();
    entries.sort_unstable_by_key(|(overlaps, _)| *overlaps);
    entries.pop();
    let addresses: HashSet<usize> = matching.iter().map(address).collect();
    let mut seen = HashSet::new();
    let overlapping = entries.iter().flat_map(|(_, entry)| entry.overlapping(OVERLAPS_MAX));
    overlapping
        .take(OVERLAPS_MAX)
        .filter(|overlap| seen.insert(address(overlap)))
        .map(|overlap| overlap.readers() * overlap.count_among(&addresses).saturating_sub(1))
        .sum()
}

#[cfg(test)]
mod tests;
