//! Errors of a cursor store.

use std::error::Error;

/// Error: a cursor cannot be loaded or saved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CursorError {
    message: String,
}

impl CursorError {
    /// Creates an error from a message, or from another error. The text should say what happened and what to do.
    pub fn new(message: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { message: message.into().to_string() }
    }
}
