//! Runs hub, shards and clients in one thread over simulated storage, sockets and time.
//!
//! ```sh
//! cargo run -p stentor-sim -- --seconds 10
//! ```
//!
//! A [`run`] has one seed. The seed decides the plan (`plan.rs`: shards, sizes, readers, rates of faults) and every
//! later choice of the world (`world.rs`), which does one thing after another: the disk completes a part of an
//! operation (`disk.rs`), a shard takes a turn (`host.rs`), a publisher or reader acts (`publisher.rs`, `reader.rs`), a
//! client misbehaves, the server restarts (`node.rs`), or time passes. The hub, the routes and the shards are those of
//! the server. Only hyper, the kernel and the storage are replaced.
//!
//! After the given number of steps all disturbances end, and readers have a few minutes of simulated time to catch
//! up. Then the judge of the crash tests compares the log and everything that readers received with everything that
//! publishers sent.
//!
//! A run is repeatable: its [`Report::hash`] covers all actions and bytes. Nothing in it depends on the clock of the
//! system (tokio's clock is paused, `Timestamp::now` follows it), on threads (there is one), on the order of hash maps,
//! or on random numbers without a seed.

mod batch;
mod counts;
mod disk;
mod faults;
mod flag;
mod host;
mod http;
mod leases;
mod lock;
mod node;
mod options;
mod pending;
mod plan;
mod publisher;
mod reader;
mod request;
mod run;
mod shrink;
mod storage;
mod trace;
mod wire;
mod world;

pub use crate::batch::{Batch, Total};
pub use crate::counts::{Counts, FAULTS, OUTCOMES};
pub use crate::options::Options;
pub use crate::run::{Report, run};
pub use crate::shrink::shrink;
