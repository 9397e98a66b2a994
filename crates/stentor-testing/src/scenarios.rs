//! Tests that run with two kinds of restart: a clean stop and start, and a kill and start.
//!
//! Each scenario gets a server with an empty log on disk, and panics if the server breaks the contract.

pub mod batches;
pub mod streams;
pub mod uploads;
