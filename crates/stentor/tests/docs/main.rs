//! Runs the examples of the pages in docs/.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue must panic"
)]
#![allow(unreachable_pub, reason = "a test crate has no public API")]

#[path = "../harness/mod.rs"]
mod harness;

mod client;
mod console;
mod cursor;
mod page;
mod readme;
mod session;
