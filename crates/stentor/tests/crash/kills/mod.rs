//! A server that is killed.
//!
//! A [`trial`] kills the real binary by a [`schedule`] while a [`workload`] of publishers writes a [`ledger`]
//! of what they sent and were told, and readers keep a [`diary`] each. A [`verdict`] says whether the log and
//! the diaries hold what the ledger promises.

use std::time::Duration;

use tokio::time::Instant;

use self::trial::Summary;

mod connection;
mod diary;
mod full_disk;
mod habit;
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

/// Kills in one trial, which is all of the short form.
const KILLS: usize = 25;
/// The same of a log with a bound.
const BOUNDED_KILLS: usize = 15;

/// The seed of a schedule that is to be replayed.
const SEED: &str = "STENTOR_CRASH_SEED";
/// How many kills, if not the usual ones.
const ROUNDS: &str = "STENTOR_CRASH_ROUNDS";
/// The long form: trials with fresh seeds until so many seconds are over, and disks that are full.
const SECONDS: &str = "STENTOR_CRASH_SECONDS";

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is to be a number: {text:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_doubled_or_reordered_by_kills() {
    trials(KILLS, false).await;
    if number(SECONDS).is_some() {
        full_disk::fill_and_empty().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_at_its_bound_loses_its_oldest_events_and_nothing_else_by_kills() {
    trials(BOUNDED_KILLS, true).await;
}

/// One trial, or as many as there is time for.
async fn trials(kills: usize, is_bounded: bool) {
    let kills = number(ROUNDS).map_or(kills, |kills| usize::try_from(kills).unwrap());
    let until = Instant::now() + Duration::from_secs(number(SECONDS).unwrap_or_default());
    let mut seed = number(SEED).unwrap_or_else(|| fastrand::u64(..));
    let mut total = Summary::default();
    loop {
        let log = if is_bounded { "a log at its bound" } else { "a log" };
        println!("{SEED}={seed} {ROUNDS}={kills}, {log}");
        let summary = trial::trial(seed, kills, is_bounded).await;
        println!("{log}: {summary}");
        total += summary;
        if Instant::now() >= until {
            break;
        }
        seed = fastrand::u64(..);
    }
    println!("in all: {total}");
}
