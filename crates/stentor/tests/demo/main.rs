//! The five programs of `stentor demo`, over HTTP and without a browser.
//! One file for each program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
)]
#![allow(unreachable_pub, reason = "a test program has no public side")]

#[path = "../harness/mod.rs"]
mod harness;

mod audit_trail;
mod chat;
mod counter;
mod image_relay;
mod page;
mod progress;
