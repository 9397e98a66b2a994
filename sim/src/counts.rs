//! Counts of the faults and outcomes of runs, which show that each kind happens.

use std::collections::BTreeMap;
use std::fmt;

/// Faults that the simulator causes. A run of many seeds must contain each of them.
pub const FAULTS: &[&str] = &[
    "append failed",
    "append delayed",
    "answer lost",
    "batch split",
    "disk full",
    "log failed",
    "query failed",
    "query stale",
    "query hung",
    "query abandoned",
    "query overdue",
    "foreign append",
    "offsets burned",
    "body dropped",
    "reader reset",
    "reader closed its side",
    "reader blocked",
    "byte by byte",
    "spurious wake-up",
    "input after the request",
    "request given up",
    "body cut",
    "publish repeated",
    "drain",
    "crash",
];

/// Outcomes that readers and publishers can see. A run of many seeds must contain each of them.
pub const OUTCOMES: &[&str] = &[
    "gap trimmed",
    "gap deleted",
    "end",
    "topic deleted",
    "lease expired",
    "204",
    "unavailable stream",
    "clean end of a stream",
    "broken stream",
    "piece of a body",
    "clean end of a body",
    "client retry",
    "reader demoted",
    "storage read",
    "200 repeat",
    "201",
    "204 deleted",
    "409",
    "503",
];

/// Number of times that each fault and outcome occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<&'static str, u64>);

impl Counts {
    /// Counts one occurrence.
    pub fn add(&mut self, name: &'static str) {
        *self.0.entry(name).or_default() += 1;
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Counts) {
        for (name, count) in &other.0 {
            *self.0.entry(name).or_default() += count;
        }
    }

    /// Number of occurrences.
    pub fn of(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// The faults and outcomes that did not occur.
    pub fn missing(&self) -> Vec<&'static str> {
        FAULTS.iter().chain(OUTCOMES).filter(|name| self.of(name) == 0).copied().collect()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (title, names) in [("faults", FAULTS), ("outcomes", OUTCOMES)] {
            write!(f, "{title}:")?;
            for name in names {
                write!(f, " {name} {},", self.of(name))?;
            }
            writeln!(f)?;
        }
        let listed = |name: &&'static str| FAULTS.contains(name) || OUTCOMES.contains(name);
        let others = self.0.iter().filter(|(name, _)| !listed(name));
        write!(f, "others:")?;
        others.into_iter().try_for_each(|(name, count)| write!(f, " {name} {count},"))
    }
}
