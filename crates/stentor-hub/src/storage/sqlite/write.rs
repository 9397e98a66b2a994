//! The writing half of a log: one thread with one connection.
//!
//! ```text
//! run -> maintenance -> writer -> transaction -> keys
//!                    -> purge, trim, capacity, compaction, keys
//! ```

pub(super) mod ballast;
pub(super) mod capacity;
pub(super) mod checkpoint;
pub(super) mod compaction;
pub(super) mod key_sources;
pub(super) mod keys;
mod leases;
pub(super) mod maintenance;
pub(super) mod open_transaction;
pub(super) mod pages;
pub(super) mod pending;
pub(super) mod purge;
pub(super) mod recovery;
pub(super) mod run;
mod set_time;
pub(super) mod transaction;
pub(super) mod trim;
pub(super) mod writer;
