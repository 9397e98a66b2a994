//! The wait before an append, in which publishers that just got their answer can join it.
//!
//! Publishers that wait for each answer would otherwise fall into two halves that take turns: while one half is
//! appended, the other half is answered, publishes again and is late for the append. Then 64 publishers make groups of
//! 32. With the wait they make groups of 64, at half the number of syncs.

use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::batch::Answered;
use super::state::State;

/// The wait takes at most this fraction of the duration of the last append: 1/4.
const FRACTION: u32 = 4;
/// Maximum wait.
const WAIT_MAX: Duration = Duration::from_millis(2);
/// Waits of at least this length use tokio's timer, whose resolution is one millisecond. Shorter waits use turns of the
/// runtime, in which it runs its other tasks and reads from its sockets.
const TIMER_MIN: Duration = Duration::from_millis(1);
/// Maximum number of turns of one wait. Bounds a wait in tests with paused time.
const TURNS_MAX: u32 = 512;
/// Number of turns before an append even if they take longer, so that requests that already arrived can join. A turn is
/// long only if the runtime has other work.
const TURNS_MIN: u32 = 2;
/// After an append of more publishes than this, the committer does not wait: the cost of the sync is already shared
/// by many.
const PUBLISHES_MAX: usize = 512;

/// Waits two turns of the runtime before the first append after a pause.
pub(super) async fn before_first_append() {
    for _ in 0..TURNS_MIN {
        yield_now().await;
    }
}

/// Waits until the publishers of the last append have published again. `waiting` groups were in the queue before they
/// were answered. A single publisher is not waited for.
pub(super) async fn after_append(state: &State, answered: Answered, waiting: usize) {
    let expected = answered.groups + waiting;
    if expected < 2 || answered.publishes > PUBLISHES_MAX {
        return;
    }
    let time = (answered.duration / FRACTION).min(WAIT_MAX);
    if !state.queue().patience.is_worth_it() {
        turns(state, expected, time, TURNS_MIN).await;
        return;
    }
    if time < TIMER_MIN {
        turns(state, expected, time, TURNS_MAX).await;
    } else {
        timer(state, expected, time).await;
    }
    let mut queue = state.queue();
    let is_hit = queue.len() >= waiting + answered.groups.div_ceil(2);
    queue.patience.record(is_hit);
}

/// Waits for `expected` groups: at most `turns_max` turns of the runtime, and at most `time` after the first two.
async fn turns(state: &State, expected: usize, time: Duration, turns_max: u32) {
    let started = Instant::now();
    for turn in 0..turns_max {
        let is_over = turn >= TURNS_MIN && started.elapsed() >= time;
        if is_over || state.queue().len() >= expected {
            return;
        }
        yield_now().await;
    }
}

/// Waits for `expected` groups, at most for `time`, without using processor time.
async fn timer(state: &State, expected: usize, time: Duration) {
    state.queue().expected = Some(expected);
    let gathered = async {
        while state.queue().len() < expected {
            state.gathered.notified().await;
        }
    };
    // After a timeout, the next append takes the groups that are in the queue.
    let _ = timeout(time, gathered).await;
    state.queue().expected = None;
}
