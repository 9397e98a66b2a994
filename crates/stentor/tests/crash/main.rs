//! Crashes: what was acknowledged is there, once and in order, whatever becomes of the server, its
//! connections and its readers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
)]
#![allow(unreachable_pub, dead_code, reason = "a test program has no public side")]

#[path = "../harness/mod.rs"]
mod harness;

mod connection;
mod diary;
mod ledger;
mod listener;
mod log;
mod publisher;
mod reader;
mod schedule;
mod stream;
mod trial;
mod verdict;
mod victim;
mod workload;

/// Kills in the short form.
const KILLS: usize = 50;

/// The seed of a schedule that is to be replayed, and how many kills, if not the usual ones.
const SEED: &str = "STENTOR_CRASH_SEED";
const ROUNDS: &str = "STENTOR_CRASH_ROUNDS";

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is to be a number: {text:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_doubled_or_reordered_by_kills() {
    let seed = number(SEED).unwrap_or_else(|| fastrand::u64(..));
    let kills = number(ROUNDS).map_or(KILLS, |kills| usize::try_from(kills).unwrap());
    println!("{SEED}={seed} {ROUNDS}={kills}");
    let summary = trial::trial(seed, kills).await;
    println!("{SEED}={seed}: {summary}");
}
