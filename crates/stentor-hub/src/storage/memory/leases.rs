//! Leases in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::lease::{LEASES_MAX, LeaseChange, whole_seconds};
use crate::topic::TopicName;

/// The stored leases, at most [`LEASES_MAX`].
#[derive(Default)]
pub(super) struct Leases(BTreeMap<TopicName, Duration>);

impl Leases {
    /// Returns `true` if the topic may get a lease.
    pub(super) fn has_room_for(&self, topic: &TopicName) -> bool {
        self.0.len() < LEASES_MAX || self.0.contains_key(topic)
    }

    /// Stores or removes the lease of a topic.
    pub(super) fn change(&mut self, change: &LeaseChange) {
        match change.length {
            Some(length) => self.0.insert(change.topic.clone(), whole_seconds(length)),
            None => self.0.remove(&change.topic),
        };
    }

    /// Removes the lease of a topic. Returns `false` if it has none.
    pub(super) fn remove(&mut self, topic: &TopicName) -> bool {
        self.0.remove(topic).is_some()
    }

    /// Returns all leases, by name in byte order.
    pub(super) fn all(&self) -> Vec<(TopicName, Duration)> {
        self.0.iter().map(|(topic, length)| (topic.clone(), *length)).collect()
    }
}
