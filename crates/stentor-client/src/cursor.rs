//! Cursor stores: remember the position in a stream across restarts of the program.
//!
//! An [`EventSource`](crate::EventSource) with a [`CursorStore`] starts after the stored id. It stores an id only when
//! the program commits it. Each event is therefore processed at least once, even if the program crashes.
//!
//! ```no_run
//! use stentor_client::EventSource;
//! use stentor_client::cursor::FileCursor;
//!
//! # async fn subscribe() -> Result<(), Box<dyn std::error::Error>> {
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
mod error;
mod file;
mod store;

pub use self::committer::Committer;
pub use self::error::CursorError;
pub use self::file::FileCursor;
pub use self::store::{CallbackCursor, CursorStore};
