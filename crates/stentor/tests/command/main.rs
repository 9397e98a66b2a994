//! The commands beside the server, as programs and people call them: what they print, where, and with
//! which exit code. One file for each command.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
)]
#![allow(unreachable_pub, reason = "a test program has no public side")]

#[path = "../harness/mod.rs"]
mod harness;

mod bench;
mod check;
mod completions;
mod foreign;
mod man;
mod publish;
mod record;
mod relay;
mod replay;
mod serve;
mod subscribe;
mod usage;
