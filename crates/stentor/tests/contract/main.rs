//! The HTTP contract, held by the real binary over real sockets. One file for each part of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
)]
#![allow(unreachable_pub, reason = "a test program has no public side")]

#[path = "../harness/mod.rs"]
mod harness;

mod bad_input;
mod batch;
mod early_answer;
mod exactness;
mod fan_out;
mod guard;
mod history;
mod http2;
mod idempotency;
mod lease;
mod many_topics;
mod publish;
mod publisher;
mod retention;
mod robustness;
mod running;
mod slow_readers;
mod subscribe;
mod takeover;
mod topics_list;
mod upload;
mod upload_ids;
mod upload_keys;

#[path = "streams/mod.rs"]
#[allow(clippy::duplicate_mod, reason = "the same promises, kept on another way")]
mod as_bodies;
#[path = "streams/mod.rs"]
mod by_shards;
