//! Where a reader is, kept beyond the life of its program.
//!
//! An [`EventSource`](crate::EventSource) that has a [`CursorStore`] begins behind the id that is
//! stored, and stores one only when it is told that the events are processed: each is processed at
//! least once, whatever happens in between.
//!
//! ```no_run
//! use stentor_client::EventSource;
//! use stentor_client::cursor::FileCursor;
//!
//! # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
//! # fn process(_: &str) {}
//! let mut source = EventSource::builder("http://localhost:8080/topics/orders")
//!     .cursor(FileCursor::new("orders.cursor"))
//!     .build()?;
//! while let Some(event) = source.next().await {
//!     process(event?.data());
//!     source.commit().await?;
//! }
//! # Ok(())
//! # }
//! ```

mod committer;
mod file;
mod store;

use std::error::Error;

pub use self::committer::Committer;
pub use self::file::FileCursor;
pub use self::store::{CallbackCursor, CursorStore};

/// Why a cursor cannot be loaded or saved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CursorError {
    message: String,
}

impl CursorError {
    /// An error that says this: what went wrong and what to do.
    pub fn new(message: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { message: message.into().to_string() }
    }
}
