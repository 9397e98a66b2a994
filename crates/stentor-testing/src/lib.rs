//! Socket-level clients for the tests of Stentor.
//!
//! The crate knows sockets only: a test gives it the address of a server that runs in the same process or in another.
//! Requests are written byte by byte as the test states them, and responses are parsed without an HTTP library, so that
//! a test sees what is on the wire.
//!
//! A [`TestClient`] sends the usual requests. [`Request`] builds one request, [`EventStream`] reads a stream of events,
//! [`Upload`] sends a request body in pieces, and [`Connection`] writes and reads arbitrary bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue panics"
)]

mod client;
mod connection;
mod http;
mod mode;
mod stream;
mod texts;
mod upload;

use std::time::Duration;

pub use crate::client::TestClient;
pub use crate::connection::{Connection, get, post};
pub use crate::http::{Request, Response, dechunk, send_raw};
pub use crate::mode::StreamMode;
pub use crate::stream::{Disconnected, EventStream, Received};
pub use crate::texts::awkward_texts;
pub use crate::upload::{Upload, read_head, read_response};

/// Maximum time a test waits for one thing. Far longer than anything takes.
pub const TIMEOUT: Duration = Duration::from_mins(1);
