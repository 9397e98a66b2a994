//! The contract of streams. This folder is a module three times, once for each transport of streams.

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

/// Returns the transport of streams that this module tests.
fn mode() -> StreamMode {
    match module_path!().rsplit("::").next() {
        Some("over_http2") => StreamMode::Http2,
        Some("under_axum") => StreamMode::Axum,
        _ => StreamMode::Shards,
    }
}
