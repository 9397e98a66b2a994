//! Gives unused memory back to the system while the server is idle.

use std::hint::black_box;
use std::time::Duration;

use tokio::time::sleep;

/// Time between two attempts to give memory back.
const INTERVAL: Duration = Duration::from_secs(2);
/// Size of an allocation for which the allocator uses a page of its own, in bytes.
const LARGE_BYTES: usize = 2 << 20;

/// Makes the allocator give back what has been unused for a second. Never returns.
///
/// mimalloc looks for such memory only when it frees a page of its own. An idle server frees none, and would keep
/// its peak. The memory of the allocation is never touched, so it costs a few microseconds.
pub(crate) async fn give_back() {
    loop {
        sleep(INTERVAL).await;
        drop(black_box(Vec::<u8>::with_capacity(LARGE_BYTES)));
    }
}
