//! When to strike: a schedule that follows from its seed alone.

use std::time::Duration;

use fastrand::Rng;
use tokio::time::{sleep, timeout};

use crate::kills::workload::Desk;

/// How long to wait for publishers to do what is waited for.
const OCCASION_MAX: Duration = Duration::from_millis(700);
/// When a log that nobody writes to is tidied, and a little more.
const IDLE: u64 = 1_000;

/// How streams are written in a life: by one shard, by as many as there are cores, by more, or all of them
/// as bodies of the HTTP library.
const STREAMS: [&[&str]; 5] = [
    &["--shards", "1"],
    &[],
    &["--shards", "5"],
    &["--no-takeover"],
    &["--no-takeover", "--shards", "5"],
];

/// One life of a server: what is done meanwhile, when it is killed, and what it meets when it is started
/// again.
#[derive(Clone, Debug)]
pub struct Round {
    pub load: Load,
    pub strike: Strike,
    /// After the strike, or after the occasion that it waits for.
    pub delay: Duration,
    /// Starts that are cut short.
    pub false_starts: Vec<FalseStart>,
    /// How streams are written in the next life.
    pub streams: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Load {
    Usual,
    /// Large events too, so that the write-ahead log is copied while they come.
    Large,
    /// None any more, so that the log is tidied.
    None,
}

/// When the server is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    AnyTime,
    AtEnd,
    AtDelete,
    AtBatch,
    AtLarge,
}

/// A start that is killed before the server has done anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FalseStart {
    After(Duration),
    WhenItListens,
}

impl Round {
    pub fn random(rng: &mut Rng) -> Round {
        let millis = |rng: &mut Rng, most: u64| Duration::from_micros(rng.u64(0..most * 1_000));
        let (load, strike, delay) = match rng.u8(0..20) {
            0..7 => (Load::Usual, Strike::AnyTime, millis(rng, 600)),
            7..10 => (Load::Usual, Strike::AtEnd, millis(rng, 12)),
            10..13 => (Load::Usual, Strike::AtDelete, millis(rng, 25)),
            13..16 => (Load::Usual, Strike::AtBatch, millis(rng, 8)),
            16 | 17 => (Load::Large, Strike::AnyTime, millis(rng, 1_500)),
            18 => (Load::Large, Strike::AtLarge, millis(rng, 300)),
            _ => (Load::None, Strike::AnyTime, Duration::from_millis(IDLE) + millis(rng, 60)),
        };
        let count = if rng.u8(0..3) == 0 { rng.usize(1..4) } else { 0 };
        let false_start = |rng: &mut Rng| match rng.u8(0..3) {
            0 => FalseStart::WhenItListens,
            _ => FalseStart::After(millis(rng, 25)),
        };
        let false_starts = (0..count).map(|_| false_start(rng)).collect();
        let streams = STREAMS[rng.usize(0..STREAMS.len())];
        Round { load, strike, delay, false_starts, streams }
    }

    /// Waits for the moment at which the server is to be killed.
    pub async fn moment(&self, desk: &Desk) {
        let about_to = &desk.about_to;
        let occasion = match self.strike {
            Strike::AnyTime => None,
            Strike::AtEnd => Some(&about_to.end),
            Strike::AtDelete => Some(&about_to.delete),
            Strike::AtBatch => Some(&about_to.batch),
            Strike::AtLarge => Some(&about_to.large),
        };
        if let Some(occasion) = occasion {
            // Where it does not come, any moment is as good.
            let _ = timeout(OCCASION_MAX, occasion.notified()).await;
        }
        sleep(self.delay).await;
    }
}
