//! A server that is killed.
//!
//! A [`run`] kills the real binary by a [`schedule`], while a [`workload`] of publishers records the history of
//! its requests and responses, and readers record their observations. The judge of `stentor-testing` compares the log
//! and the observations with the history.

use std::time::Duration;

use tokio::time::Instant;

use self::run::Summary;

mod behavior;
mod connection;
mod full_disk;
mod log;
mod publisher;
mod reader;
mod run;
mod schedule;
mod server_process;
mod stream;
mod sub_command;
mod workload;

/// Number of kills of one run.
const KILLS: usize = 25;
/// Number of kills of one run with a log size limit.
const BOUNDED_KILLS: usize = 15;

/// Environment variable: the seed of a schedule to repeat.
const SEED: &str = "STENTOR_CRASH_SEED";
/// Environment variable: the number of kills, instead of the default.
const ROUNDS: &str = "STENTOR_CRASH_ROUNDS";
/// Environment variable: repeats runs with new seeds for this many seconds, and then fills disks.
const SECONDS: &str = "STENTOR_CRASH_SECONDS";

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_duplicated_or_reordered_by_kills() {
    repeat(KILLS, false).await;
    if number(SECONDS).is_some() {
        full_disk::fill_and_empty().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_at_its_size_limit_loses_only_its_oldest_events_by_kills() {
    repeat(BOUNDED_KILLS, true).await;
}

/// One run, or as many as there is time for.
async fn repeat(kills: usize, is_bounded: bool) {
    let kills = number(ROUNDS).map_or(kills, |kills| usize::try_from(kills).unwrap());
    let until = Instant::now() + Duration::from_secs(number(SECONDS).unwrap_or_default());
    let mut seed = number(SEED).unwrap_or_else(|| fastrand::u64(..));
    let mut total = Summary::default();
    loop {
        let log = if is_bounded { "a log at its size limit" } else { "a log" };
        println!("{SEED}={seed} {ROUNDS}={kills}, {log}");
        let summary = run::run(seed, kills, is_bounded).await;
        println!("{log}: {summary}");
        total += summary;
        if Instant::now() >= until {
            break;
        }
        seed = fastrand::u64(..);
    }
    println!("total: {total}");
}
