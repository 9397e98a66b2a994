//! Errors of the command line that are found after parsing.

use std::fmt;

use stentor_client::{BuildError, UrlError};
use stentor_load::InvalidOptions;

/// A combination of options or values that cannot work. The program exits with [`EXIT_CODE`].
#[derive(Debug)]
pub(crate) struct UsageError(String);

/// The exit code of a wrong command line, as clap uses it.
pub(crate) const EXIT_CODE: u8 = 2;

impl UsageError {
    pub(crate) fn new(message: impl Into<String>) -> UsageError {
        UsageError(message.into())
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// `true` if the command line caused this error. That includes a client that cannot be built, because it is
/// built only from options.
pub(crate) fn is_usage_error(error: &anyhow::Error) -> bool {
    let is_bad_option = |error: &BuildError| {
        matches!(error, BuildError::Url(_) | BuildError::Header { .. } | BuildError::Method { .. })
    };
    error.is::<UsageError>()
        || error.is::<InvalidOptions>()
        || error.is::<UrlError>()
        || error.downcast_ref::<BuildError>().is_some_and(is_bad_option)
}
