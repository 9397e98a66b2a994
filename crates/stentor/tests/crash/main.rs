//! Crashes: what was acknowledged is there, once and in order, whatever becomes of the server, its
//! connections and its readers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
)]
#![allow(unreachable_pub, dead_code, reason = "a test program has no public side")]

#[path = "../harness/mod.rs"]
mod harness;

mod connection;
mod diary;
mod ledger;
mod log;
mod publisher;
mod stream;
mod verdict;
mod workload;
