//! The times of kills. A schedule depends only on its seed.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::{sleep, timeout};

use crate::kills::workload::Shared;

/// Maximum time to wait for the publishers to reach the kill point.
const KILL_POINT_TIMEOUT: Duration = Duration::from_millis(700);
/// A little more than the time after which an idle log does its maintenance, in milliseconds.
const MAINTENANCE_MILLIS: u64 = 1_000;

/// Arguments that decide how streams are written: by one shard, by one per core, by more, or by the HTTP library.
const STREAMS: [&[&str]; 5] = [
    &["--shards", "1"],
    &[],
    &["--shards", "5"],
    &["--no-takeover"],
    &["--no-takeover", "--shards", "5"],
];

/// One run of the server process: its load, the time of its kill, and the start that follows.
#[derive(Clone, Debug)]
pub struct Round {
    pub load: Load,
    pub kill_point: KillPoint,
    /// Time after the kill point is reached.
    pub delay: Duration,
    /// Starts that are cut short by a kill.
    pub aborted_starts: Vec<AbortedStart>,
    /// Arguments that decide how the next server process writes streams.
    pub streams: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    Usual,
    /// Large events too, so that checkpoints happen while events are published.
    Large,
    /// No events, so that the log does its maintenance.
    None,
}

/// When the server is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillPoint {
    AnyTime,
    AtEnd,
    AtDelete,
    AtBatch,
    AtLarge,
}

/// A start that is cut short by a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortedStart {
    After(Duration),
    WhenItListens,
}

impl Round {
    pub fn random(rng: &mut Rng) -> Round {
        let millis = |rng: &mut Rng, most: u64| Duration::from_micros(rng.u64(0..most * 1_000));
        let (load, kill_point, delay) = match rng.u8(0..20) {
            0..7 => (Load::Usual, KillPoint::AnyTime, millis(rng, 600)),
            7..10 => (Load::Usual, KillPoint::AtEnd, millis(rng, 12)),
            10..13 => (Load::Usual, KillPoint::AtDelete, millis(rng, 25)),
            13..16 => (Load::Usual, KillPoint::AtBatch, millis(rng, 8)),
            16 | 17 => (Load::Large, KillPoint::AnyTime, millis(rng, 1_500)),
            18 => (Load::Large, KillPoint::AtLarge, millis(rng, 300)),
            _ => (
                Load::None,
                KillPoint::AnyTime,
                Duration::from_millis(MAINTENANCE_MILLIS) + millis(rng, 60),
            ),
        };
        let count = if rng.u8(0..3) == 0 { rng.usize(1..4) } else { 0 };
        let aborted_starts = |rng: &mut Rng| match rng.u8(0..3) {
            0 => AbortedStart::WhenItListens,
            _ => AbortedStart::After(millis(rng, 25)),
        };
        let aborted_starts = (0..count).map(|_| aborted_starts(rng)).collect();
        let streams = STREAMS[rng.usize(0..STREAMS.len())];
        Round { load, kill_point, delay, aborted_starts, streams }
    }

    /// Waits until the server is to be killed.
    pub async fn wait_for_kill(&self, shared: &Shared) {
        let about_to = &shared.about_to;
        let moment = match self.kill_point {
            KillPoint::AnyTime => None,
            KillPoint::AtEnd => Some(&about_to.end),
            KillPoint::AtDelete => Some(&about_to.delete),
            KillPoint::AtBatch => Some(&about_to.batch),
            KillPoint::AtLarge => Some(&about_to.large),
        };
        if let Some(moment) = moment {
            // If it is not reached, any other moment is as good.
            let _ = timeout(KILL_POINT_TIMEOUT, moment.notified()).await;
        }
        sleep(self.delay).await;
    }
}
