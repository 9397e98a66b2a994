//! The index over patterns: a trie for each literal prefix of up to two segments.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::fast::RandomState;

use super::entry::Entry;
use super::shards::{Shards, shrink};
use super::step::Step;
use super::trie::Node;
use crate::filter::TopicFilter;
use crate::topic::TopicName;

/// Maximum number of literal segments that select a trie. Patterns of one application often begin with one literal
/// segment, so with one only they would share a lock.
const PREFIX_MAX: usize = 2;

/// Number of segments of a topic that are kept on the stack.
const SEGMENTS_INLINE: usize = 16;

/// The tries of a shard.
type Tries = HashMap<Prefix, Node, RandomState>;

/// The literal segments that patterns begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Prefix {
    segments: usize,
    hash: u64,
}

/// The patterns among all filters.
#[derive(Debug, Default)]
pub(super) struct Patterns<S = RandomState> {
    hasher: S,
    /// Number of patterns by the number of segments of the prefix that selects their trie.
    counts: [AtomicUsize; PREFIX_MAX + 1],
    shards: Shards<Tries>,
}

impl<S: BuildHasher> Patterns<S> {
    pub(super) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }

    /// Returns the entry of a pattern with one more claim. Creates it if needed.
    pub(super) fn claim(&self, filter: &TopicFilter) -> Arc<Entry> {
        let path = self.path(filter);
        let unlisted = || Arc::new(Entry::new(filter.clone(), path.steps.as_slice().into()));
        if let Some(node) = self.shards.read(path.prefix.hash).get(&path.prefix)
            && let Some(entry) = node.get(&path.steps, filter)
        {
            return entry.claim();
        }
        let mut tries = self.shards.write(path.prefix.hash);
        // Another reader may have added it meanwhile.
        let listed = tries.get(&path.prefix).and_then(|node| node.get(&path.steps, filter));
        if let Some(entry) = listed {
            return entry.claim();
        }
        let entry = unlisted();
        match tries.get_mut(&path.prefix) {
            Some(node) => node.insert(Arc::clone(&entry), 0),
            None => {
                tries.insert(path.prefix, Node::Leaf(Arc::clone(&entry)));
            }
        }
        if let Some(count) = self.counts.get(path.prefix.segments) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        entry.claim()
    }

    /// Removes a claim, and with the last claim the entry.
    pub(super) fn release(&self, entry: &Arc<Entry>) {
        if entry.release_unless_last() {
            return;
        }
        let path = self.path(&entry.filter);
        let mut tries = self.shards.write(path.prefix.hash);
        if !entry.release() {
            return;
        }
        if tries.get_mut(&path.prefix).is_some_and(|node| node.remove(entry, 0)) {
            tries.remove(&path.prefix);
            shrink(&mut tries);
        }
        if let Some(count) = self.counts.get(path.prefix.segments) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn lock_all(&self) -> impl Sized {
        self.shards.write_all()
    }

    /// Number of nodes of all tries.
    #[cfg(test)]
    pub(super) fn nodes(&self) -> usize {
        self.shards.write_all().iter().flat_map(|tries| tries.values()).map(Node::count).sum()
    }

    /// Calls `found` for each pattern that matches this topic. Returns the number of nodes and steps that it compared.
    pub(super) fn find(&self, topic: &TopicName, mut found: impl FnMut(&Arc<Entry>)) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut inline = [Step::ANY; SEGMENTS_INLINE];
        let mut long = Vec::new();
        let segments = self.segments(topic, &mut inline, &mut long);
        let mut check = |entry: &Arc<Entry>| {
            // Equal hashes may stand for different texts.
            if entry.filter.matches(topic) {
                found(entry);
            }
        };
        let (mut compared, mut prefix) = (0, Prefix::default());
        for (literals, count) in self.counts.iter().enumerate() {
            if let Some(last) = literals.checked_sub(1).and_then(|last| segments.get(last)) {
                prefix = self.extend(prefix, *last);
            }
            // A pattern has a wildcard after its prefix, which stands for one segment at least.
            let Some(rest) = segments.get(literals..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            if count.load(Ordering::Relaxed) == 0 || (literals == 0 && topic.is_reserved()) {
                continue;
            }
            if let Some(node) = self.shards.read(prefix.hash).get(&prefix) {
                compared += node.find(rest, 0, &mut check);
            }
        }
        compared
    }

    fn segments<'a>(
        &self,
        topic: &TopicName,
        inline: &'a mut [Step; SEGMENTS_INLINE],
        long: &'a mut Vec<Step>,
    ) -> &'a [Step] {
        let mut count = 0;
        for segment in topic.as_str().split('/') {
            let step = Step::literal(self.hasher.hash_one(segment));
            match inline.get_mut(count) {
                Some(slot) if long.is_empty() => *slot = step,
                _ => {
                    if long.is_empty() {
                        long.extend_from_slice(&inline[..]);
                    }
                    long.push(step);
                }
            }
            count += 1;
        }
        if long.is_empty() { inline.get(..count).unwrap_or_default() } else { long }
    }

    fn path(&self, filter: &TopicFilter) -> Path {
        let mut path = Path { prefix: Prefix::default(), steps: Vec::new() };
        for segment in filter.as_str().split('/') {
            let step = match segment {
                "*" => Step::ANY,
                "**" => Step::REST,
                literal => Step::literal(self.hasher.hash_one(literal)),
            };
            let is_prefix = path.steps.is_empty() && path.prefix.segments < PREFIX_MAX;
            if is_prefix && !step.is_wildcard() {
                path.prefix = self.extend(path.prefix, step);
            } else {
                path.steps.push(step);
            }
        }
        path
    }

    /// Returns a prefix with one more segment.
    fn extend(&self, prefix: Prefix, segment: Step) -> Prefix {
        let hash = self.hasher.hash_one((prefix.hash, segment));
        Prefix { segments: prefix.segments + 1, hash }
    }
}

/// The place of a pattern: the prefix that selects a trie, and the steps in the trie.
struct Path {
    prefix: Prefix,
    steps: Vec<Step>,
}
