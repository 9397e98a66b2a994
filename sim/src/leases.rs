//! The leases that publishers got, and the check that each of them ended its topic in time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stentor_hub::{PRODUCER_LOST, Record, Timestamp};
use stentor_testing::judge::{EventKey, History};
use tokio::time::Instant;

use crate::disk::Disk;

/// Topics whose lease was acknowledged, with the seconds of the lease.
#[derive(Debug, Default)]
pub(crate) struct LeasedTopics(BTreeMap<String, u64>);

impl LeasedTopics {
    /// A publisher got an answer to a publish with a lease.
    pub(crate) fn granted(&mut self, topic: &str, seconds: u64) {
        self.0.insert(topic.to_owned(), seconds);
    }

    /// Returns the topics that have not ended, although their publishers are silent.
    pub(crate) fn open(&self, disk: &Disk) -> Vec<String> {
        let topics =
            self.0.keys().filter(|topic| topic.parse().is_ok_and(|topic| !disk.has_ended(&topic)));
        topics.cloned().collect()
    }

    /// Returns a text for each topic that ended before its lease was over, counted from the time at which the last
    /// event in the log was sent first. `origin` is the time of both clocks at the start of the run.
    pub(crate) fn ended_early(
        &self,
        records: &[Arc<Record>],
        history: &History,
        origin: (Instant, Timestamp),
    ) -> Vec<String> {
        let by_key = history.by_key();
        let sent = |record: &Record| {
            let (write, _) = by_key.get(&EventKey::of(record.event()?.data())?)?;
            Some(origin.1.plus(write.sent - origin.0))
        };
        let mut newest: BTreeMap<&str, Timestamp> = BTreeMap::new();
        let mut early = Vec::new();
        for record in records {
            let topic = record.topic().as_str();
            if let Some(sent) = sent(record) {
                newest.insert(topic, sent);
            } else if record.end_reason() == Some(PRODUCER_LOST)
                && let (Some(event), Some(seconds)) = (newest.get(topic), self.0.get(topic))
                && record.time() < event.plus(Duration::from_secs(*seconds))
            {
                let (event, end) = (*event, record.time());
                early.push(format!("{topic}: {seconds} s lease, sent at {event}, end at {end}"));
            }
        }
        early
    }
}
