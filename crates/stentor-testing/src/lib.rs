//! Socket-level clients for the tests of Stentor.
//!
//! A test gives the crate the address of a server, which runs in the same process or in another. Requests are written
//! byte by byte as the test states them, and responses are parsed without an HTTP library, so that a test sees the
//! bytes on the wire.
//!
//! A [`TestClient`] sends the usual requests. [`Request`] builds one request, [`EventStream`] reads a stream of events,
//! [`Upload`] sends a request body in pieces, and [`Connection`] writes and reads arbitrary bytes.
//!
//! The [`judge`] compares the log and the readers' observations with the requests of publishers.
//!
//! The [`scenarios`] are whole tests. They run on each [`RestartableServer`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue panics"
)]

mod checks;
mod client;
mod connection;
mod http;
pub mod judge;
mod mode;
mod restart;
pub mod scenarios;
mod stream;
mod texts;
mod upload;

use std::time::Duration;

pub use crate::checks::{
    assert_deleted, assert_differs_after, assert_end, assert_gap, assert_no_second_gap, data_of,
    delete_topic, keyed_upload, resume_status, until_no_client_is_left, upload_events_with_ids,
    upload_lines,
};
pub use crate::client::TestClient;
pub use crate::connection::{Connection, get, post};
pub use crate::http::{Request, Response, dechunk, send_raw};
pub use crate::mode::StreamMode;
pub use crate::restart::RestartableServer;
pub use crate::stream::{Disconnected, EventStream, Received};
pub use crate::texts::{
    after_first_line, awkward_texts, events_with_ids, lines, numbers, unique_text,
};
pub use crate::upload::{Upload, read_head, read_response};

/// Maximum time a test waits for one thing. Far longer than anything should take, and longer than the pause of up to a
/// minute that retention makes between two passes on a busy machine.
pub const TIMEOUT: Duration = Duration::from_mins(3);
