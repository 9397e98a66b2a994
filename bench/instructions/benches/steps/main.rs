//! Counts the instructions of each step of an event. Unlike times, the counts do not depend on other programs on the
//! machine. `bench/instructions/count.py` runs this and compares the counts with the committed ones.
#![allow(missing_docs, unreachable_pub, reason = "the macros generate items without docs")]
#![allow(clippy::expect_used, reason = "a failed step must stop the benchmark")]

mod filters;
mod hub;
mod interest;
mod records;
mod shard;
mod streams;

use gungraun::{Callgrind, LibraryBenchmarkConfig, main};

use crate::filters::filter;
use crate::hub::publish;
use crate::interest::wake;
use crate::records::encode;
use crate::shard::fan_out;
use crate::streams::decode;

/// The allocator of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

main!(
    // Cache simulation takes time and is not needed.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"]));
    library_benchmark_groups = encode,
    decode,
    filter,
    publish,
    fan_out,
    wake
);

/// JSON text, typical data of events.
fn json(bytes: usize) -> String {
    r#"{"user":"ada","text":"the quick brown fox jumps over the lazy dog","n":42}, "#
        .chars()
        .cycle()
        .take(bytes)
        .collect()
}
