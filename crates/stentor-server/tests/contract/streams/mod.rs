//! The contract of streams. This folder is a module twice, once for each implementation of streams.

mod delete;
mod end;
mod end_races;
mod envelope;
mod gap;
mod recreated;
mod replay;
mod resume;
mod start;

use crate::harness::StreamMode;

/// Returns the implementation of streams that this module tests.
fn mode() -> StreamMode {
    if module_path!().ends_with("as_bodies") { StreamMode::Bodies } else { StreamMode::Shards }
}
