//! The losses of topics whose names a storage has forgotten, by the beginnings of the names.
//!
//! A storage knows a bounded number of empty topics by name. Of those that it forgets, it keeps a bounded number of
//! prefixes. Each forgotten name begins with at least one of them, which has at least the loss of that topic. So no
//! loss is missed, and most readers of other topics get no gap for it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound::{Excluded, Included, Unbounded};

use crate::cursor::Offset;
use crate::filter::Filters;

/// Maximum number of prefixes. At this number, prefixes with a long common beginning are merged.
pub(crate) const PREFIXES_MAX: usize = 4_096;

/// Records that were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// The highest offset of a removed record.
    pub(crate) through: Offset,
    /// The count of removals that includes all of them.
    pub(crate) removals: u64,
}

impl Loss {
    /// Returns `true` if a reader at `after` lost records and was not notified of it.
    pub(crate) fn is_unreported(self, after: Offset, reported: u64) -> bool {
        self.through > after && self.removals > reported
    }

    /// The loss of two topics together.
    pub(crate) fn and(self, other: Loss) -> Loss {
        Loss {
            through: self.through.max(other.through),
            removals: self.removals.max(other.removals),
        }
    }
}

/// A prefix of forgotten names, with their loss.
pub(crate) type Prefix = (String, Loss);

/// The prefixes of a storage in memory.
#[derive(Debug, Default)]
pub(crate) struct Forgotten(BTreeMap<String, Loss>);

impl Forgotten {
    /// Adds a topic that is forgotten.
    pub(crate) fn add(&mut self, name: &str, loss: Loss) {
        let known = self.0.entry(name.to_owned()).or_default();
        *known = known.and(loss);
        if self.0.len() > PREFIXES_MAX {
            let prefixes = std::mem::take(&mut self.0).into_iter().collect();
            self.0 = merge(prefixes, PREFIXES_MAX / 2).into_iter().collect();
        }
    }

    /// Returns the loss that a topic of this name may have had.
    pub(crate) fn of_name(&self, name: &str) -> Loss {
        let before = |end: End<'_>| {
            let found = match end {
                End::Through(name) => {
                    self.0.range::<str, _>((Unbounded, Included(name))).next_back()
                }
                End::Before(name) => {
                    self.0.range::<str, _>((Unbounded, Excluded(name))).next_back()
                }
            };
            Ok::<_, Infallible>(found.map(|(prefix, loss)| (prefix.clone(), *loss)))
        };
        match of_name(name, before) {
            Ok(loss) => loss,
            Err(never) => match never {},
        }
    }

    /// Returns `true` if a topic that a pattern matches may have lost records of which a reader was not notified.
    pub(crate) fn concerns(&self, filters: &Filters, after: Offset, reported: u64) -> bool {
        self.0.iter().any(|(prefix, loss)| {
            loss.is_unreported(after, reported) && filters.patterns_may_match_beginning(prefix)
        })
    }
}

/// The end of a range of prefixes, in byte order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End<'a> {
    /// Up to and including this text.
    Through(&'a str),
    /// Up to this text.
    Before(&'a str),
}

/// Returns the loss that a topic of this name may have had. `last` returns the last prefix of a range.
///
/// Each call of `last` excludes all prefixes with which the name does not begin, up to a shorter beginning of it.
pub(crate) fn of_name<E>(
    name: &str,
    mut last: impl FnMut(End<'_>) -> Result<Option<Prefix>, E>,
) -> Result<Loss, E> {
    let mut loss = Loss::default();
    let mut end = End::Through(name);
    while let Some((prefix, its_loss)) = last(end)? {
        let common = common_beginning(&prefix, name);
        end = if common.len() == prefix.len() {
            loss = loss.and(its_loss);
            End::Before(common)
        } else {
            End::Through(common)
        };
    }
    Ok(loss)
}

/// Merges sorted prefixes until at most `max` are left. Neighbours with the longest common beginnings are merged into
/// these beginnings, so that prefixes of unlike names stay apart.
pub(crate) fn merge(prefixes: Vec<Prefix>, max: usize) -> Vec<Prefix> {
    let common = |pair: &[Prefix]| match pair {
        [(one, _), (other, _)] => common_beginning(one, other).len(),
        _ => 0,
    };
    let mut lengths: Vec<usize> = prefixes.windows(2).map(common).collect();
    lengths.sort_unstable();
    // Pairs with at least this common length are merged. `None` if there are few enough prefixes.
    let Some(shortest) = lengths.get(max.saturating_sub(1)).copied() else { return prefixes };
    let mut merged: Vec<Prefix> = Vec::with_capacity(max);
    let mut previous = String::new();
    for (prefix, loss) in prefixes {
        let is_alike = common_beginning(&previous, &prefix).len() >= shortest;
        previous.clone_from(&prefix);
        match merged.last_mut() {
            Some((group, all)) if is_alike => {
                let common = common_beginning(group, &prefix).len();
                group.truncate(common);
                *all = all.and(loss);
            }
            _ => merged.push((prefix, loss)),
        }
    }
    merged
}

/// Returns the longest beginning of `text` with which `other` begins too.
fn common_beginning<'t>(other: &str, text: &'t str) -> &'t str {
    let bytes = other.bytes().zip(text.bytes()).take_while(|(one, other)| one == other).count();
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::TopicFilter;

    fn loss(number: u64) -> Loss {
        Loss { through: Offset::new(number), removals: number }
    }

    fn of_names<'n>(names: impl IntoIterator<Item = &'n str>) -> Forgotten {
        let mut forgotten = Forgotten::default();
        for (at, name) in names.into_iter().enumerate() {
            forgotten.add(name, loss(at as u64 + 1));
        }
        forgotten
    }

    fn concerns(forgotten: &Forgotten, pattern: &str) -> bool {
        let filters = Filters::new([pattern.parse::<TopicFilter>().unwrap()]).unwrap();
        forgotten.concerns(&filters, Offset::ZERO, 0)
    }

    #[test]
    fn the_loss_of_a_name_is_that_of_all_prefixes_of_it() {
        let forgotten = of_names(["a/b", "a/bc", "a/b/c", "b", "a/é"]);
        assert_eq!(forgotten.of_name("a/b/c/d"), loss(3));
        assert_eq!(forgotten.of_name("a/bcd"), loss(2));
        assert_eq!(forgotten.of_name("a/b"), loss(1));
        assert_eq!(forgotten.of_name("a/é/x"), loss(5));
        for unknown in ["", "a", "a/", "a/a", "c", "a/è"] {
            assert_eq!(forgotten.of_name(unknown), Loss::default(), "{unknown}");
        }
    }

    #[test]
    fn an_empty_prefix_counts_for_each_name() {
        let forgotten = of_names(["", "b"]);
        assert_eq!(forgotten.of_name("a"), loss(1));
        assert_eq!(forgotten.of_name("b/c"), loss(2));
        assert!(concerns(&forgotten, "x/*"));
    }

    #[test]
    fn a_million_forgotten_names_take_a_bounded_number_of_prefixes() {
        let sorts: [fn(usize) -> String; 3] = [
            |number| format!("old/{number}"),
            |number| format!("tenant/jobs/{:08x}/state", number.wrapping_mul(2_654_435_761)),
            |number| format!("{number}"),
        ];
        let mut forgotten = Forgotten::default();
        for number in 0..1_000_000 {
            forgotten.add(&sorts[number % 3](number), loss(number as u64 + 1));
            assert!(forgotten.0.len() <= PREFIXES_MAX);
        }
        for (number, sort) in [3, 300_001, 999_998].into_iter().zip(sorts) {
            assert!(forgotten.of_name(&sort(number)).through >= loss(number as u64 + 1).through);
        }
        for pattern in ["old/*", "tenant/**", "**", "*/jobs/*/state", "tenant/jobs/*/state"] {
            assert!(concerns(&forgotten, pattern), "{pattern}");
        }
        for pattern in ["keep/*", "tenant/keep/*", "tenant/*", "t/*"] {
            assert!(!concerns(&forgotten, pattern), "{pattern}");
        }
    }

    #[test]
    fn merging_keeps_the_highest_loss_and_unlike_names_apart() {
        let names = ["a/1", "a/2", "a/30", "a/31", "b/é1", "b/è2"];
        let mut prefixes: Vec<Prefix> =
            names.iter().zip(1..).map(|(name, at)| ((*name).to_owned(), loss(at))).collect();
        prefixes.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let merged = merge(prefixes.clone(), 3);
        let expected = [("a/", 4), ("b/", 6)];
        assert_eq!(merged, expected.map(|(name, at)| (name.to_owned(), loss(at))));
        assert_eq!(merge(prefixes.clone(), 6), prefixes);
        assert_eq!(merge(prefixes, 1), [(String::new(), loss(6))]);
    }
}
