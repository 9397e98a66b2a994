//! Judges what the log holds and what readers saw by what publishers know. Nothing here asks a server.

mod cooked;
mod diary;
mod facts;
mod log;
mod oldest;
mod trim;

use std::fmt;

pub use self::diary::judge_diary;
pub use self::facts::Facts;
pub use self::log::judge_log;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub fault: Fault,
    /// Which event, topic or reader, and what is wrong with it.
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Acknowledged, and not there; or there, and a reader went past it.
    Lost,
    /// There twice, or delivered twice.
    Doubled,
    /// Not in the order of acknowledgement, or not delivered in the order of the log.
    Reordered,
    /// A part of what was to be all or nothing, or an upload with a hole.
    Torn,
    /// Under another id than the one acknowledged or delivered.
    Renamed,
    /// There, although nobody sent it, it was refused, or it was deleted.
    Phantom,
    /// Data other than what was sent.
    Damaged,
    /// A gap was told where nothing was removed.
    FalseGap,
    /// An end was told that nobody asked for, or a stream was over without it.
    FalseEnd,
    /// An answer that a publisher must not get.
    Strange,
}

impl Finding {
    pub fn new(fault: Fault, detail: impl Into<String>) -> Finding {
        Finding { fault, detail: detail.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.fault, self.detail)
    }
}

/// Asserts that no promise is broken.
///
/// # Panics
/// With the first findings, and how many there are.
#[track_caller]
pub fn assert_kept(findings: &[Finding], context: impl fmt::Display) {
    const SHOWN_MAX: usize = 20;
    if findings.is_empty() {
        return;
    }
    let shown: Vec<String> = findings.iter().take(SHOWN_MAX).map(Finding::to_string).collect();
    panic!("{} broken promises ({context}):\n  {}", findings.len(), shown.join("\n  "));
}
