//! The fan-out shard. The tests set the room and the input of its sockets, and move its clock.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue panics"
)]

mod accounting;
mod chance;
mod endings;
mod failures;
mod fairness;
mod gaps;
mod groups;
mod sessions;
mod silence;
mod stage;
mod stalls;
mod storage;
