//! What is promised of streams, on each of the ways to their sockets: this file is a module twice.

mod delete;
mod end;
mod end_races;
mod envelope;
mod gap;
mod rebirth;
mod replay;
mod resume;
mod start;

use crate::harness::StreamMode;

/// The way of streams in this module.
fn mode() -> StreamMode {
    if module_path!().ends_with("as_bodies") { StreamMode::Bodies } else { StreamMode::Shards }
}
