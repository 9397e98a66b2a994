//! Failures of a subscription, with their exit codes.

use std::process::ExitCode;

use crate::output::print_message;
use crate::usage;

/// Help text for the exit codes.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done: the stream or topic has ended, --count or --for is reached, the output pipe was
     closed, or a signal (INT, TERM) arrived
  1  failed: the output, the cursor or an image cannot be written
  2  the command line is wrong
  3  cannot subscribe: refused, not found, not an event stream, or unreachable (--retry-max)
  4  events were lost (--fail-on-gap)
  5  the command of --exec failed; the cursor stays before its event
  6  timed out (--for) before --count or --until-end was reached";

/// The kind of a failure; its value is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Failed = 1,
    Usage = usage::EXIT_CODE as isize,
    NoStream = 3,
    Gap = 4,
    Command = 5,
    Timeout = 6,
}

/// A failure of a subscription.
#[derive(Debug)]
pub(super) struct Failure {
    code: Code,
    error: anyhow::Error,
}

impl Failure {
    pub(super) fn new(code: Code, error: impl Into<anyhow::Error>) -> Failure {
        Failure { code, error: error.into() }
    }

    /// Prints the error, and returns the exit code.
    pub(super) fn report(&self) -> ExitCode {
        print_message(format_args!("{:#}", self.error));
        ExitCode::from(self.code as u8)
    }
}

/// Converts errors to failures.
pub(super) trait OrFail<T> {
    fn or_fail(self, code: Code) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrFail<T> for Result<T, E> {
    fn or_fail(self, code: Code) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(code, error))
    }
}
