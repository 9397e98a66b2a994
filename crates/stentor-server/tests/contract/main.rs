//! The HTTP contract over real sockets, with servers in threads of the test process. One file for each part.
//!
//! Tests that need a server process (kills, signals, memory, file descriptors, options) are in
//! `crates/stentor/tests/process`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue panics"
)]
#![allow(unreachable_pub, reason = "a test program has no public API")]

mod bad_input;
mod batch;
mod early_response;
mod exactness;
mod fan_out;
mod guard;
mod harness;
mod history;
mod http2;
mod idempotency;
mod lease;
mod many_topics;
mod publish;
mod refusals;
mod retention;
mod robustness;
mod subscribe;
mod takeover;
mod topics_list;
mod upload;
mod upload_ids;
mod upload_keys;

#[path = "streams/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "the same tests, for each transport of streams")]
mod over_http2;
#[path = "streams/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "the same tests, for each transport of streams")]
mod over_tcp;
#[path = "streams/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "the same tests, for each transport of streams")]
mod under_axum;
