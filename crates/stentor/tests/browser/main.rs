//! Pages in a real Chromium, served by the real binary, over a relay that can cut the connection.
//!
//! One file for each kind of page.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue must panic"
)]
#![allow(unreachable_pub, reason = "a test crate has no public API")]

#[path = "../harness/mod.rs"]
mod harness;

mod console;
mod driver;
mod event_source;
mod gallery;
mod http_page;
mod jobs;
mod live_pages;
mod picture;
mod readme;
mod relay;
