//! What a person sees: pages in a real Chromium, before the real binary, with a line between them
//! that can break. One file for each kind of page.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
)]
#![allow(unreachable_pub, reason = "a test program has no public side")]

#[path = "../harness/mod.rs"]
mod harness;

mod console;
mod driver;
mod event_source;
mod gallery;
mod jobs;
mod live_pages;
mod picture;
mod readme;
mod relay;
