//! Steps: the segments of patterns and topics as numbers.

/// A segment of a pattern or of a topic: the hash of its text, or a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Step(u64);

impl Step {
    /// The segment `*`.
    pub(super) const ANY: Step = Step(0);
    /// The segment `**`.
    pub(super) const REST: Step = Step(1);

    pub(super) fn literal(hash: u64) -> Step {
        Step(hash.max(2))
    }

    pub(super) fn is_wildcard(self) -> bool {
        self.0 < 2
    }
}
