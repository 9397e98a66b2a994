//! Enforces a retention: finds the topics beyond their limits and trims them.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Retention;
use crate::backoff::Backoff;
use crate::shared::Shared;
use crate::storage::{StorageError, TopicInfo, TopicsQuery, TrimLimits};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// Number of topics listed at a time.
const TOPICS_MAX: usize = 1_000;
/// Minimum pause between two rounds over all topics: about the time for which a topic can exceed its limits.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Maximum pause between two rounds.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// A pause lasts this many times as long as the round before it, so that rounds over very many topics take at most a
/// twentieth of the time.
const PAUSE_FACTOR: u32 = 19;

/// A step that trims fewer events than this ends the round for these topics. Otherwise a topic with constant
/// publishes would delay all others.
const STEP_MIN: u64 = 1_000;

/// Trims topics to their limits in rounds. Never returns.
pub(crate) async fn run(shared: &Shared, retention: &Retention) {
    if retention.is_empty() {
        return std::future::pending().await;
    }
    let mut retry = Backoff::default();
    loop {
        let started = Instant::now();
        let mut pause_min = PAUSE_MIN;
        match round(shared, retention, shared.storage.log_time(Timestamp::now()).now).await {
            Ok(()) => retry.reset(),
            Err(error) => {
                // `Hub::failed` reports a failed log, and a full disk may have space by the next round.
                pause_min = retry.next();
                tracing::warn!(%error, ?pause_min, "cannot enforce the retention; will retry");
            }
        }
        sleep((started.elapsed() * PAUSE_FACTOR).clamp(pause_min, PAUSE_MAX)).await;
    }
}

/// Checks each topic once.
async fn round(shared: &Shared, retention: &Retention, now: Timestamp) -> Result<(), StorageError> {
    let mut query = TopicsQuery { limit: TOPICS_MAX, ..TopicsQuery::default() };
    loop {
        let topics = shared.storage.topics(query.clone()).await?;
        let candidates = topics.iter().filter_map(|info| candidate(retention, info, now));
        trim(shared, candidates.collect()).await?;
        match topics.last() {
            Some(last) if topics.len() == TOPICS_MAX => {
                query.after = Some(last.topic.as_str().to_owned());
            }
            Some(_) | None => return Ok(()),
        }
    }
}

/// Returns a topic with its limits if it may exceed them. Its counts show that without a query; only ages need one.
fn candidate(
    retention: &Retention,
    info: &TopicInfo,
    now: Timestamp,
) -> Option<(TopicName, TrimLimits)> {
    let limits = retention.limits(&info.topic)?;
    let exceeds = limits.events.is_some_and(|most| info.events > most)
        || limits.bytes.is_some_and(|most| info.bytes > most)
        || limits.has_age(info.ended);
    exceeds.then(|| (info.topic.clone(), limits.at(now)))
}

/// Trims topics together, in as many steps as the storage needs for the largest of them.
async fn trim(
    shared: &Shared,
    mut topics: Vec<(TopicName, TrimLimits)>,
) -> Result<(), StorageError> {
    while !topics.is_empty() {
        let mut trimmed_topics = Vec::new();
        let mut trim_points = Vec::new();
        for (topic, limits) in topics {
            let trim_point = match shared.storage.trim_point(topic.clone(), limits).await {
                // The storage has reported it. The other topics keep their limits.
                Err(StorageError::Damaged { .. }) => None,
                trim_point => trim_point?,
            };
            if let Some(through) = trim_point {
                trim_points.push((topic.clone(), through));
                trimmed_topics.push((topic, limits));
            }
        }
        let before = shared.storage.trimmed().events;
        shared.storage.trim(trim_points.clone()).await?;
        shared.window.trim(&trim_points);
        if shared.storage.trimmed().events.saturating_sub(before) < STEP_MIN {
            return Ok(());
        }
        // A trim point may cover only a part of the excess, so these topics are checked again.
        topics = trimmed_topics;
    }
    Ok(())
}
