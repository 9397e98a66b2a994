//! Crashes: what was acknowledged is there, once and in order, whatever becomes of the server, its disk,
//! its connections and its readers.
//!
//! - [`kills`]: the server is killed again and again while publishers and readers go on.
//! - [`power`]: its disk loses power or fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
)]
#![allow(unreachable_pub, reason = "a test program has no public side")]

#[path = "../harness/mod.rs"]
mod harness;

mod kills;
mod power;
