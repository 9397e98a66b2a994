//! The deadlines of leases, in memory.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::clock::Clock;
use crate::lease::LeaseChange;
use crate::record::Body;
use crate::storage::Commit;
use crate::topic::TopicName;

/// Delay before the end of an expired topic is retried after a storage error.
const RETRY: Duration = Duration::from_secs(1);
/// A longer lease lasts this long: 30 years. Bounds the deadlines, so that each of them is a valid time.
const LENGTH_MAX: Duration = Duration::from_hours(24 * 365 * 30);

/// The leases in memory, with their deadlines. They follow the commits of the storage.
#[derive(Default)]
pub(crate) struct Leases {
    table: Mutex<Table>,
    /// Number of leases. Lets a hub without leases skip the lock of `table`.
    count: AtomicUsize,
    /// Notified when the next deadline may have become earlier.
    changed: Notify,
}

/// Times are those of `clock`.
#[derive(Default)]
struct Table {
    leases: HashMap<TopicName, Lease>,
    /// The time of the next check of each lease, at or before its deadline. A renewal does not change it: the check
    /// reschedules the lease, which is cheaper than rescheduling it with each event.
    checks: BTreeSet<(Instant, TopicName)>,
    clock: Clock,
    /// The topics whose lease changed while the stored leases are being read. At most as many as one query of the
    /// storage leaves time for.
    changed_while_reading: Option<HashSet<TopicName>>,
}

struct Lease {
    length: Duration,
    deadline: Instant,
    next_check: Instant,
}

impl Table {
    fn remove(&mut self, topic: &TopicName) {
        if let Some(lease) = self.leases.remove(topic) {
            self.checks.remove(&(lease.next_check, topic.clone()));
        }
    }

    /// Sets the lease of a topic; its time starts now.
    fn insert(&mut self, topic: &TopicName, length: Duration) {
        let deadline = deadline(&mut self.clock, length);
        self.remove(topic);
        self.checks.insert((deadline, topic.clone()));
        self.leases.insert(topic.clone(), Lease { length, deadline, next_check: deadline });
    }

    fn renew(&mut self, topic: &TopicName) {
        if let Some(lease) = self.leases.get_mut(topic) {
            lease.deadline = deadline(&mut self.clock, lease.length);
        }
    }

    /// Applies a committed change. Returns `true` if the next deadline may have become earlier.
    fn change(&mut self, change: &LeaseChange) -> bool {
        if let Some(changed) = &mut self.changed_while_reading {
            changed.insert(change.topic.clone());
        }
        match change.length {
            None => self.remove(&change.topic),
            Some(length) => match self.leases.get(&change.topic) {
                Some(lease) if lease.length == length => self.renew(&change.topic),
                Some(_) | None => {
                    self.insert(&change.topic, length);
                    return true;
                }
            },
        }
        false
    }
}

/// The end of a lease whose time starts now.
fn deadline(clock: &mut Clock, length: Duration) -> Instant {
    clock.now() + length.min(LENGTH_MAX)
}

impl Leases {
    /// Applies a commit: an event renews the lease of its topic, and changes of leases take effect.
    pub(crate) fn observe(&self, commit: Commit<'_>) {
        if self.count() == 0 && commit.leases.is_empty() {
            return;
        }
        let mut table = self.table();
        for record in commit.records {
            if matches!(record.body(), Body::Event(_)) {
                table.renew(record.topic());
            }
        }
        let mut is_earlier = false;
        for change in commit.leases {
            is_earlier |= table.change(change);
        }
        self.update_count(&table);
        if is_earlier {
            self.changed.notify_one();
        }
    }

    /// Renews the lease of a topic, if it has one.
    pub(crate) fn renew(&self, topic: &TopicName) {
        if self.count() > 0 {
            self.table().renew(topic);
        }
    }

    /// Number of leases.
    fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Returns `true` if no topic has a lease.
    pub(crate) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Waits until the next deadline may have become earlier.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Call this before the stored leases are read for [`Leases::restore`].
    pub(crate) fn start_reading(&self) {
        self.table().changed_while_reading = Some(HashSet::new());
    }

    /// Adds the stored leases of the previous run, except leases that were changed in this run. Their time starts
    /// now.
    pub(crate) fn restore(&self, stored: Vec<(TopicName, Duration)>) {
        let mut table = self.table();
        let changed = table.changed_while_reading.take().unwrap_or_default();
        for (topic, length) in stored {
            if !table.leases.contains_key(&topic) && !changed.contains(&topic) {
                table.insert(&topic, length);
            }
        }
        self.update_count(&table);
    }

    /// Notes that the watcher runs. While there are leases, it calls this again after [`TICK`].
    pub(crate) fn tick(&self) {
        let mut table = self.table();
        if table.leases.is_empty() { table.clock.pause() } else { table.clock.tick() }
    }

    /// Call this if the stored leases could not be read.
    pub(crate) fn stop_reading(&self) {
        self.table().changed_while_reading = None;
    }

    /// Notes that the watcher stops.
    pub(crate) fn stop(&self) {
        let mut table = self.table();
        table.clock.pause();
        table.changed_while_reading = None;
    }

    /// Returns the topics whose lease has expired, and the time of the next check. Each of these topics is checked
    /// again after [`RETRY`].
    pub(crate) fn expired(&self) -> (Vec<TopicName>, Option<Instant>) {
        let mut table = self.table();
        let now = table.clock.now();
        let mut expired = Vec::new();
        while let Some((check, _)) = table.checks.first()
            && *check <= now
            && let Some((_, topic)) = table.checks.pop_first()
        {
            let Some(lease) = table.leases.get_mut(&topic) else { continue };
            lease.next_check = if lease.deadline > now {
                lease.deadline
            } else {
                expired.push(topic.clone());
                now + RETRY
            };
            let check = lease.next_check;
            table.checks.insert((check, topic));
        }
        (expired, table.checks.first().map(|(check, _)| table.clock.to_runtime(*check)))
    }

    /// `true` if the topic's lease has expired and was not renewed since.
    pub(crate) fn is_expired(&self, topic: &TopicName) -> bool {
        let mut table = self.table();
        let now = table.clock.now();
        table.leases.get(topic).is_some_and(|lease| lease.deadline <= now)
    }

    fn update_count(&self, table: &Table) {
        self.count.store(table.leases.len(), Ordering::Release);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
