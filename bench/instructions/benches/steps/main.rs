//! How many instructions the steps of an event take on its way: figures that other programs on the machine
//! do not disturb. `bench/instructions/count.py` runs this and compares with what is committed.
#![allow(missing_docs, unreachable_pub, reason = "what the macros write has no docs")]
#![allow(clippy::expect_used, reason = "what is counted works, or the count is worth nothing")]

mod filters;
mod hub;
mod records;
mod shard;
mod streams;

use gungraun::{Callgrind, LibraryBenchmarkConfig, main};

use crate::filters::filter;
use crate::hub::publish;
use crate::records::encode;
use crate::shard::fan_out;
use crate::streams::decode;

/// That of the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

main!(
    // What the caches would do is not asked, and takes time to find out.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"]));
    library_benchmark_groups = encode,
    decode,
    filter,
    publish,
    fan_out
);

/// Text as events often have it.
fn json(bytes: usize) -> String {
    r#"{"user":"ada","text":"the quick brown fox jumps over the lazy dog","n":42}, "#
        .chars()
        .cycle()
        .take(bytes)
        .collect()
}
