//! What the log promises when things end badly, held by the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
)]
#![allow(unreachable_pub, reason = "a test program has no public side")]

#[path = "../harness/mod.rs"]
mod harness;

mod power;
