//! Crash tests: acknowledged events are in the log, once and in order, even if the server, its disk, its connections
//! or its readers fail.
//!
//! - [`kills`]: the server is killed repeatedly while publishers and readers are at work.
//! - [`power`]: the disk loses power or fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue must panic"
)]
#![allow(unreachable_pub, reason = "a test program has no public API")]

#[path = "../harness/mod.rs"]
mod harness;

mod kills;
mod power;
