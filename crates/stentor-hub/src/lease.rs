//! Leases: deadlines of the topics that end when their producer is silent.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::record::{Body, Record};
use crate::topic::TopicName;

/// Maximum number of topics with a lease at a time.
pub const LEASES_MAX: usize = 100_000;

/// The reason of the end of a topic whose lease expired.
pub const PRODUCER_LOST: &str = "producer lost";

/// Delay before the end of an expired topic is retried after a storage error.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// The leases in memory, with their deadlines.
#[derive(Default)]
pub(crate) struct Leases {
    table: Mutex<Table>,
    /// Number of leases. Lets a hub without leases skip the lock of `table`.
    count: AtomicUsize,
    /// Held while a lease is stored or removed.
    changes: tokio::sync::Mutex<()>,
    /// Notified when the next deadline may have become earlier.
    changed: Notify,
}

#[derive(Default)]
struct Table {
    leases: HashMap<TopicName, Lease>,
    /// The time of the next check of each lease, at or before its deadline. A renewal does not change it: the check
    /// reschedules the lease, which is cheaper than rescheduling it with each event.
    checks: BTreeSet<(Instant, TopicName)>,
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

    fn insert(&mut self, topic: &TopicName, length: Duration, deadline: Instant) {
        self.remove(topic);
        self.checks.insert((deadline, topic.clone()));
        self.leases.insert(topic.clone(), Lease { length, deadline, next_check: deadline });
    }

    fn renew(&mut self, topic: &TopicName) {
        if let Some(lease) = self.leases.get_mut(topic) {
            lease.deadline = Instant::now() + lease.length;
        }
    }
}

impl Leases {
    /// Applies committed records: an event renews the lease of its topic, an end or a deletion removes it.
    pub(crate) fn observe(&self, records: &[Arc<Record>]) {
        if self.count() == 0 {
            return;
        }
        let mut table = self.table();
        for record in records {
            match record.body() {
                Body::Event(_) => table.renew(record.topic()),
                Body::End { .. } | Body::Deleted => table.remove(record.topic()),
            }
        }
        self.update_count(&table);
    }

    /// Renews the lease of a topic, if it has one.
    pub(crate) fn renew(&self, topic: &TopicName) {
        if self.count() > 0 {
            self.table().renew(topic);
        }
    }

    /// The length of a topic's lease.
    pub(crate) fn length(&self, topic: &TopicName) -> Option<Duration> {
        self.table().leases.get(topic).map(|lease| lease.length)
    }

    /// Number of leases.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Locks the stored leases against other changes.
    pub(crate) async fn lock_changes(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.changes.lock().await
    }

    /// Waits until the next deadline may have become earlier.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Sets the lease of a topic; its time starts now.
    pub(crate) fn insert(&self, topic: &TopicName, length: Duration) {
        let mut table = self.table();
        table.insert(topic, length, Instant::now() + length);
        self.update_count(&table);
        self.changed.notify_one();
    }

    /// Adds the stored leases of the previous run, except leases that were set again in this run. Their time starts
    /// now.
    pub(crate) fn restore(&self, stored: Vec<(TopicName, Duration)>) {
        for (topic, length) in stored {
            if self.length(&topic).is_none() {
                self.insert(&topic, length);
            }
        }
    }

    /// Removes the lease of a topic.
    pub(crate) fn remove(&self, topic: &TopicName) {
        let mut table = self.table();
        table.remove(topic);
        self.update_count(&table);
    }

    /// Returns the topics whose lease has expired, and the time of the next check. Each of these topics is checked
    /// again after [`RETRY`].
    pub(crate) fn expired(&self, now: Instant) -> (Vec<TopicName>, Option<Instant>) {
        let mut table = self.table();
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
        (expired, table.checks.first().map(|(check, _)| *check))
    }

    /// `true` if the topic's lease has expired and was not renewed since.
    pub(crate) fn is_expired(&self, topic: &TopicName) -> bool {
        let now = Instant::now();
        self.table().leases.get(topic).is_some_and(|lease| lease.deadline <= now)
    }

    fn update_count(&self, table: &Table) {
        self.count.store(table.leases.len(), Ordering::Release);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The length of a lease as it is stored: rounded up to whole seconds.
pub(crate) fn whole_seconds(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs() + u64::from(length.subsec_nanos() > 0))
}
