//! How it ends, when not well.

use std::process::ExitCode;

use crate::output::print_message;

/// The exit codes, for the help.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0  done: the stream or topic has ended, --count or --for is reached, nobody reads the output any
     more, or a signal (INT, TERM) asked to stop
  1  it failed here: output, cursor or image cannot be written
  2  the command line is wrong
  3  there is no stream to follow: refused, not found, no stream of events, or out of reach for
     --retry-max attempts
  4  events were lost (--fail-on-gap)
  5  the command of --exec failed; the cursor is still before its event
  6  the time of --for was over before --count or --until-end was reached";

/// What kind of failure ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Failed = 1,
    Usage = 2,
    NoStream = 3,
    Gap = 4,
    Command = 5,
    Late = 6,
}

/// Why it ended before it was done.
#[derive(Debug)]
pub(super) struct Failure {
    code: Code,
    error: anyhow::Error,
}

impl Failure {
    pub(super) fn new(code: Code, error: impl Into<anyhow::Error>) -> Failure {
        Failure { code, error: error.into() }
    }

    /// Says it, and gives the exit code.
    pub(super) fn tell(&self) -> ExitCode {
        print_message(format_args!("{:#}", self.error));
        ExitCode::from(self.code as u8)
    }
}

/// Gives errors the code that they end with.
pub(super) trait OrFail<T> {
    fn or_fail(self, code: Code) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrFail<T> for Result<T, E> {
    fn or_fail(self, code: Code) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(code, error))
    }
}
