//! The commands: their output, their messages and their exit codes. One file for each command.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a panic fails the test"
)]
#![allow(unreachable_pub, reason = "a test binary has no public items")]

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
mod tls;
mod usage;
