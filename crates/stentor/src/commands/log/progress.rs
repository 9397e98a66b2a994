//! Progress of a long command, shown only on a terminal.

use std::fmt;
use std::io::{self, IsTerminal, Write};

/// A line on stderr that is overwritten.
#[derive(Debug)]
pub(super) struct Progress {
    is_terminal: bool,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new() -> Progress {
        Progress { is_terminal: io::stderr().is_terminal(), is_shown: false }
    }

    /// Shows a text in place of the last one.
    pub(super) fn show(&mut self, text: fmt::Arguments<'_>) {
        if self.is_terminal {
            self.is_shown = true;
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }

    /// Removes the text. A permanent line can then be printed.
    pub(super) fn clear(&mut self) {
        if self.is_shown {
            self.is_shown = false;
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
