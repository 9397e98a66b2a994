//! Tries of patterns. Segments are represented by their hashes, so a match may be wrong if two hashes are equal; the
//! caller compares the text.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::entry::Entry;
use super::shards::shrink;
use super::step::Step;
use crate::filter::TopicFilter;

/// The patterns below one sequence of steps.
#[derive(Debug)]
pub(super) enum Node {
    /// A single pattern.
    Leaf(Arc<Entry>),
    Branch(Box<Branch>),
}

/// Patterns by their next step.
#[derive(Debug, Default)]
pub(super) struct Branch {
    /// Patterns without a further step. Several only if hashes are equal.
    ends: Vec<Arc<Entry>>,
    /// Patterns whose next and last step is `**`. Several only if hashes are equal.
    rests: Vec<Arc<Entry>>,
    /// Patterns whose next step is `*`.
    any: Option<Node>,
    literals: HashMap<Step, Node, RandomState>,
}

impl Node {
    /// Returns the entry of a pattern. `steps` are its steps from this node on.
    pub(super) fn get(&self, steps: &[Step], filter: &TopicFilter) -> Option<&Arc<Entry>> {
        let is_equal = |entry: &&Arc<Entry>| entry.filter == *filter;
        let branch = match self {
            Node::Leaf(entry) => return Some(entry).filter(is_equal),
            Node::Branch(branch) => branch,
        };
        match steps.split_first() {
            None => branch.ends.iter().find(is_equal),
            Some((&Step::REST, _)) => branch.rests.iter().find(is_equal),
            Some((&Step::ANY, rest)) => branch.any.as_ref()?.get(rest, filter),
            Some((literal, rest)) => branch.literals.get(literal)?.get(rest, filter),
        }
    }

    /// Adds an entry that is not in the trie yet. `depth` is the number of its steps that lead to this node.
    pub(super) fn insert(&mut self, entry: Arc<Entry>, depth: usize) {
        match self {
            Node::Branch(branch) => branch.insert(entry, depth),
            Node::Leaf(first) => {
                let mut branch = Box::<Branch>::default();
                branch.insert(Arc::clone(first), depth);
                branch.insert(entry, depth);
                *self = Node::Branch(branch);
            }
        }
    }

    /// Number of nodes from this one on.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        match self {
            Node::Leaf(_) => 1,
            Node::Branch(branch) => 1 + branch.nodes().map(Node::count).sum::<usize>(),
        }
    }

    /// Removes an entry. Returns `true` if the node has no entry left.
    pub(super) fn remove(&mut self, entry: &Arc<Entry>, depth: usize) -> bool {
        match self {
            Node::Leaf(own) => Arc::ptr_eq(own, entry),
            Node::Branch(branch) => {
                branch.remove(entry, depth);
                match branch.only_entry() {
                    Remaining::None => return true,
                    Remaining::One(last) => *self = Node::Leaf(last),
                    Remaining::More => {}
                }
                false
            }
        }
    }

    /// Calls `found` for each pattern that matches a topic. `segments` are those of the topic from this node on, and
    /// `depth` is the number of steps that lead to this node. Returns the number of nodes and steps that it compared.
    ///
    /// Each node is visited at most once, and only if all steps to it match.
    pub(super) fn find(
        &self,
        segments: &[Step],
        depth: usize,
        found: &mut impl FnMut(&Arc<Entry>),
    ) -> usize {
        let branch = match self {
            Node::Branch(branch) => branch,
            Node::Leaf(entry) => {
                let (matches, compared) = compare(entry.steps.get(depth..), segments);
                if matches {
                    found(entry);
                }
                return 1 + compared;
            }
        };
        let Some((first, rest)) = segments.split_first() else {
            branch.ends.iter().for_each(found);
            return 1;
        };
        branch.rests.iter().for_each(&mut *found);
        let mut compared = 1;
        if let Some(node) = &branch.any {
            compared += node.find(rest, depth + 1, found);
        }
        if let Some(node) = branch.literals.get(first) {
            compared += node.find(rest, depth + 1, found);
        }
        compared
    }
}

/// The entries of a branch.
enum Remaining {
    None,
    /// One entry, which needs no branch.
    One(Arc<Entry>),
    More,
}

impl Branch {
    fn insert(&mut self, entry: Arc<Entry>, depth: usize) {
        match entry.steps.get(depth).copied() {
            None => self.ends.push(entry),
            Some(Step::REST) => self.rests.push(entry),
            Some(Step::ANY) => match &mut self.any {
                Some(node) => node.insert(entry, depth + 1),
                None => self.any = Some(Node::Leaf(entry)),
            },
            Some(literal) => match self.literals.get_mut(&literal) {
                Some(node) => node.insert(entry, depth + 1),
                None => {
                    self.literals.insert(literal, Node::Leaf(entry));
                }
            },
        }
    }

    fn remove(&mut self, entry: &Arc<Entry>, depth: usize) {
        let is_other = |other: &Arc<Entry>| !Arc::ptr_eq(other, entry);
        match entry.steps.get(depth) {
            None => self.ends.retain(is_other),
            Some(&Step::REST) => self.rests.retain(is_other),
            Some(&Step::ANY) => {
                if self.any.as_mut().is_some_and(|node| node.remove(entry, depth + 1)) {
                    self.any = None;
                }
            }
            Some(literal) => {
                if self.literals.get_mut(literal).is_some_and(|node| node.remove(entry, depth + 1))
                {
                    self.literals.remove(literal);
                    shrink(&mut self.literals);
                }
            }
        }
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.any.iter().chain(self.literals.values())
    }

    fn only_entry(&self) -> Remaining {
        let nodes = || self.nodes();
        let listed = || self.ends.iter().chain(&self.rests);
        match (listed().take(2).count(), nodes().take(2).count()) {
            (0, 0) => Remaining::None,
            (1, 0) => {
                listed().next().map_or(Remaining::None, |last| Remaining::One(Arc::clone(last)))
            }
            (0, 1) => match nodes().next() {
                Some(Node::Leaf(last)) => Remaining::One(Arc::clone(last)),
                _ => Remaining::More,
            },
            _ => Remaining::More,
        }
    }
}

/// Returns `true` if the steps of a pattern match these segments, and the number of steps that were compared.
fn compare(steps: Option<&[Step]>, segments: &[Step]) -> (bool, usize) {
    let steps = steps.unwrap_or_default();
    for (at, step) in steps.iter().enumerate() {
        match segments.get(at) {
            Some(_) if *step == Step::REST => return (true, at),
            Some(segment) if *step == Step::ANY || step == segment => {}
            _ => return (false, at),
        }
    }
    (steps.len() == segments.len(), steps.len())
}
