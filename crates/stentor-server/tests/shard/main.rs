//! The fan-out shard, with sockets whose room and words the tests decide, and a clock that they move.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
)]

mod chance;
mod endings;
mod fairness;
mod gaps;
mod groups;
mod silence;
mod stage;
mod stalls;
