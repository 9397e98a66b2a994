//! Trims what a retention no longer keeps.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Retention;
use crate::hub::Shared;
use crate::storage::{StorageError, TopicInfo, TopicsQuery, TrimLimits};
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// Topics that are listed at a time.
const TOPICS_MAX: usize = 1_000;
/// The least time between two rounds over all topics: about how long a topic may be beyond its limits.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The most time between two rounds.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// A round is followed by a pause of so many times its length, so that rounds over very many topics
/// leave the log to its readers.
const PAUSE_FACTOR: u32 = 19;

/// A step that trims fewer events than this leaves the rest to the next round: a topic that is written to
/// all the time would otherwise keep all others waiting.
const STEP_MIN: u64 = 1_000;

/// Holds topics to their limits, round after round, for ever.
pub(crate) async fn enforce(shared: &Shared, retention: &Retention) {
    if retention.is_empty() {
        return std::future::pending().await;
    }
    loop {
        let begun = Instant::now();
        if let Err(error) = round(shared, retention, Timestamp::now()).await {
            // A log that failed says so itself, and a full disk frees itself by the next round.
            tracing::debug!(%error, "trimming goes on later");
        }
        sleep((begun.elapsed() * PAUSE_FACTOR).clamp(PAUSE_MIN, PAUSE_MAX)).await;
    }
}

/// Looks at each topic once.
async fn round(shared: &Shared, retention: &Retention, now: Timestamp) -> Result<(), StorageError> {
    let mut query = TopicsQuery { limit: TOPICS_MAX, ..TopicsQuery::default() };
    loop {
        let topics = shared.storage.topics(query.clone()).await?;
        let overdue = topics.iter().filter_map(|info| overdue(retention, info, now));
        trim(shared, overdue.collect()).await?;
        match topics.last() {
            Some(last) if topics.len() == TOPICS_MAX => {
                query.after = Some(last.topic.as_str().to_owned());
            }
            Some(_) | None => return Ok(()),
        }
    }
}

/// A topic and what is to be kept of it, unless a glance tells that it is within its limits.
fn overdue(
    retention: &Retention,
    info: &TopicInfo,
    now: Timestamp,
) -> Option<(TopicName, TrimLimits)> {
    let limits = retention.limits(&info.topic)?;
    let over = limits.events.is_some_and(|most| info.events > most)
        || limits.bytes.is_some_and(|most| info.bytes > most)
        || limits.has_age(info.ended);
    over.then(|| (info.topic.clone(), limits.at(now)))
}

/// Trims topics together, in as many steps as the storage makes of the longest.
async fn trim(
    shared: &Shared,
    mut topics: Vec<(TopicName, TrimLimits)>,
) -> Result<(), StorageError> {
    while !topics.is_empty() {
        let mut beyond = Vec::new();
        let mut excess = Vec::new();
        for (topic, keep) in topics {
            if let Some(through) = shared.storage.trim_point(topic.clone(), keep).await? {
                excess.push((topic.clone(), through));
                beyond.push((topic, keep));
            }
        }
        let before = shared.storage.trimmed().events;
        shared.storage.trim(excess.clone()).await?;
        shared.window.trim(&excess);
        if shared.storage.trimmed().events.saturating_sub(before) < STEP_MIN {
            return Ok(());
        }
        // What is left of these may still be too much.
        topics = beyond;
    }
    Ok(())
}
