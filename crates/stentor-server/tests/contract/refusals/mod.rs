//! A request that is refused before its body is read gets its response, however late the body comes.
//!
//! `STENTOR_REFUSAL_TRIES` sets the number of tries of each case; the default takes a few seconds.

mod curl;
mod proxies;
mod sockets;

use std::fmt::Debug;
use std::time::Duration;

use futures_util::stream::{StreamExt, iter};

/// Number of tries that run at the same time.
const AT_ONCE: usize = 32;

/// Returns the number of tries of each case.
fn tries(default: usize) -> usize {
    let given = std::env::var("STENTOR_REFUSAL_TRIES").ok();
    given.map_or(default, |tries| tries.parse().expect("STENTOR_REFUSAL_TRIES is a number"))
}

/// Returns a time between the head of a request and its body.
fn pause() -> Duration {
    Duration::from_micros(fastrand::u64(1_000..50_000))
}

/// Runs `tries` tries of each case, many at once, and asserts that none failed.
async fn assert_none_fails<C: Copy + Debug>(
    cases: &[C],
    tries: usize,
    attempt: impl AsyncFn(C) -> Result<(), String>,
) {
    let mut all: Vec<C> = cases.iter().copied().cycle().take(cases.len() * tries).collect();
    fastrand::shuffle(&mut all);
    let attempt = &attempt;
    let results = iter(all).map(|case| async move {
        attempt(case).await.map_err(|error| format!("{case:?}: {error}"))
    });
    let results: Vec<_> = results.buffer_unordered(AT_ONCE).collect().await;
    let count = results.len();
    let failures: Vec<String> = results.into_iter().filter_map(Result::err).collect();
    let some = failures.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {count} failed, such as:\n{some}", failures.len());
}
