//! The five apps of `stentor demo`, over HTTP and without a browser. One file per app.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue must panic"
)]
#![allow(unreachable_pub, reason = "a test crate has no public API")]

#[path = "../harness/mod.rs"]
mod harness;

mod audit_trail;
mod chat;
mod counter;
mod image_relay;
mod page;
mod progress;
