//! Tests that need a server process: kills, signals, memory, file descriptors, options and messages on stderr.
//!
//! Tests of the HTTP contract that need no process are in `crates/stentor-server/tests/contract`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue panics"
)]
#![allow(unreachable_pub, reason = "a test program has no public API")]

#[path = "../harness/mod.rs"]
mod harness;

mod all_at_once;
mod bounds;
mod cors_origin;
mod descriptors;
mod disconnects;
mod kills;
mod log_files;
mod memory;
mod publisher;
mod retain;
mod running;
mod standstill;
mod stderr;

#[path = "streams.rs"]
#[allow(clippy::duplicate_mod, reason = "the same tests, for each implementation of streams")]
mod as_bodies;
#[path = "streams.rs"]
mod by_shards;
