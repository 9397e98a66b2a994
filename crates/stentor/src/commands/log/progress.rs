//! How far a long command is, on a terminal only.

use std::fmt;
use std::io::{self, IsTerminal, Write};

/// A line on stderr that is written over and over.
#[derive(Debug)]
pub(super) struct Progress {
    is_seen: bool,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { is_seen: io::stderr().is_terminal(), is_shown: false }
    }

    /// Shows how far it is, in place of what was shown before.
    pub(super) fn show(&mut self, text: fmt::Arguments<'_>) {
        if self.is_seen {
            self.is_shown = true;
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }

    /// Makes room for a line that stays.
    pub(super) fn clear(&mut self) {
        if self.is_shown {
            self.is_shown = false;
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
