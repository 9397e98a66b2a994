//! Options of a run beside its seed.

/// Options of a run beside its seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Number of steps before the disturbances end.
    pub steps: u64,
    /// Readers that take no part, by number.
    pub without_readers: Vec<usize>,
    /// Publishers that take no part, by number.
    pub without_publishers: Vec<usize>,
}

impl Default for Options {
    fn default() -> Options {
        Options { steps: 3_000, without_readers: Vec::new(), without_publishers: Vec::new() }
    }
}
