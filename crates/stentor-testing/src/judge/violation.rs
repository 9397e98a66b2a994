//! A broken guarantee, and the assertion that there is none.

use std::fmt;

/// A broken guarantee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The kind.
    pub fault: Fault,
    /// The event, topic or reader, and the reason.
    pub detail: String,
}

/// The kinds of broken guarantees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// An acknowledged event is not in the log, or a reader skipped an event.
    Lost,
    /// An event is twice in the log, or was delivered twice.
    Duplicated,
    /// Events are not in the order of their acknowledgement, or were not delivered in the order of the log.
    Reordered,
    /// The log has only a part of an atomic write, or an upload with a hole.
    Torn,
    /// An event has another id than the one acknowledged or delivered.
    WrongId,
    /// The log has an event that was never sent, was refused, or was deleted.
    Phantom,
    /// The data differs from what was sent.
    Damaged,
    /// A gap was reported where nothing was removed.
    FalseGap,
    /// An end was reported that no publisher requested, or a stream ended without it.
    FalseEnd,
    /// A publisher got a status it must not get.
    UnexpectedStatus,
}

impl Violation {
    /// Creates a violation.
    pub fn new(fault: Fault, detail: impl Into<String>) -> Violation {
        Violation { fault, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.fault, self.detail)
    }
}

/// Asserts that there are no violations.
///
/// # Panics
///
/// With the first violations and their number.
#[track_caller]
pub fn assert_no_violations(violations: &[Violation], context: impl fmt::Display) {
    const SHOWN_MAX: usize = 20;
    if violations.is_empty() {
        return;
    }
    let shown: Vec<String> = violations.iter().take(SHOWN_MAX).map(Violation::to_string).collect();
    panic!("{} violations ({context}):\n  {}", violations.len(), shown.join("\n  "));
}
