//! Topics that end when nobody publishes to them any more.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use crate::hub::Hub;
use crate::publish::{Publish, PublishError};
use crate::record::{Body, Record};
use crate::topic::TopicName;

/// The most topics with a lease at a time.
pub const LEASES_MAX: usize = 100_000;

/// The reason with which a topic ends whose lease ran out.
pub const PRODUCER_LOST: &str = "producer lost";

/// How long after an error of the storage an end is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Who has how much time left.
#[derive(Default)]
pub(crate) struct Leases {
    held: Mutex<Held>,
    /// How many there are, so that a log without leases pays nothing for them.
    count: AtomicUsize,
    /// Held while a lease is granted or lifted.
    change: tokio::sync::Mutex<()>,
    /// LossesReported when the next deadline may have come nearer.
    changed: Notify,
}

#[derive(Default)]
struct Held {
    leases: HashMap<TopicName, Lease>,
    /// When to look at which lease: no later than its deadline. One that was renewed meanwhile is put
    /// back, which is cheaper than to put it anew with each event.
    looks: BTreeSet<(Instant, TopicName)>,
}

struct Lease {
    length: Duration,
    deadline: Instant,
    look: Instant,
}

impl Held {
    fn remove(&mut self, topic: &TopicName) {
        if let Some(lease) = self.leases.remove(topic) {
            self.looks.remove(&(lease.look, topic.clone()));
        }
    }

    fn insert(&mut self, topic: &TopicName, length: Duration, deadline: Instant) {
        self.remove(topic);
        self.looks.insert((deadline, topic.clone()));
        self.leases.insert(topic.clone(), Lease { length, deadline, look: deadline });
    }
}

impl Leases {
    /// Takes note of what was committed: an event renews, an end or a deletion lifts.
    pub(crate) fn observe(&self, records: &[Arc<Record>]) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut held = self.held();
        for record in records {
            match record.body() {
                Body::Event(_) => renew(&mut held, record.topic()),
                Body::End { .. } | Body::Deleted => held.remove(record.topic()),
            }
        }
        self.count(&held);
    }

    /// An event is a sign of life as soon as it comes, for the log may be slow, or refuse it for a while.
    pub(crate) fn renew_for(&self, publish: &Publish) {
        for entry in &publish.entries {
            if matches!(entry.body, Body::Event(_)) {
                self.renew_lease(&entry.topic);
            }
        }
    }

    /// A sign of life.
    pub(crate) fn renew_lease(&self, topic: &TopicName) {
        if self.count.load(Ordering::Acquire) > 0 {
            renew(&mut self.held(), topic);
        }
    }

    /// The length of the lease that a topic has.
    fn length(&self, topic: &TopicName) -> Option<Duration> {
        self.held().leases.get(topic).map(|lease| lease.length)
    }

    fn has_room(&self) -> bool {
        self.count.load(Ordering::Acquire) < LEASES_MAX
    }

    fn grant(&self, topic: &TopicName, length: Duration) {
        let mut held = self.held();
        held.insert(topic, length, Instant::now() + length);
        self.count(&held);
        self.changed.notify_one();
    }

    /// The leases of the last run start afresh, unless they were granted anew.
    fn take_up(&self, stored: Vec<(TopicName, Duration)>) {
        for (topic, length) in stored {
            if self.length(&topic).is_none() {
                self.grant(&topic, length);
            }
        }
    }

    fn lift(&self, topic: &TopicName) {
        let mut held = self.held();
        held.remove(topic);
        self.count(&held);
    }

    /// The topics whose time is over, and when to look again.
    fn overdue(&self, now: Instant) -> (Vec<TopicName>, Option<Instant>) {
        let mut held = self.held();
        let mut overdue = Vec::new();
        while let Some((look, _)) = held.looks.first()
            && *look <= now
            && let Some((_, topic)) = held.looks.pop_first()
        {
            let Some(lease) = held.leases.get_mut(&topic) else { continue };
            lease.look = if lease.deadline > now {
                lease.deadline
            } else {
                overdue.push(topic.clone());
                // By then it has ended, or it is tried again.
                now + RETRY
            };
            let look = lease.look;
            held.looks.insert((look, topic));
        }
        (overdue, held.looks.first().map(|(look, _)| *look))
    }

    fn has_run_out(&self, topic: &TopicName) -> bool {
        let now = Instant::now();
        self.held().leases.get(topic).is_some_and(|lease| lease.deadline <= now)
    }

    fn count(&self, held: &Held) {
        self.count.store(held.leases.len(), Ordering::Release);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn renew(held: &mut Held, topic: &TopicName) {
    if let Some(lease) = held.leases.get_mut(topic) {
        lease.deadline = Instant::now() + lease.length;
    }
}

impl Hub {
    /// Gives a topic a lease, or with `None` lifts it: if nobody publishes to it for so long, it is ended
    /// with the reason [`PRODUCER_LOST`], so that no reader waits for ever. Each event renews the lease,
    /// also one that the log cannot take now, and so does [`Hub::renew_lease`]. An end or a deletion lifts it.
    ///
    /// Durable when it returns; after a restart it starts afresh. Somebody has to run
    /// [`Hub::watch_leases`].
    pub async fn set_lease(
        &self,
        topic: &TopicName,
        length: Option<Duration>,
    ) -> Result<(), PublishError> {
        if topic.is_reserved() {
            return Err(PublishError::Reserved { topic: topic.clone() });
        }
        let (leases, storage) = (self.leases(), self.storage());
        // What is stored and what is held here shall agree on which came last.
        let _change = leases.change.lock().await;
        let Some(length) = length else {
            storage.set_lease(topic.clone(), None).await?;
            leases.lift(topic);
            return Ok(());
        };
        self.check_lease_limit(topic)?;
        if leases.length(topic) != Some(length) {
            storage.set_lease(topic.clone(), Some(length)).await?;
        }
        leases.grant(topic, length);
        Ok(())
    }

    /// Whether a topic can have a lease: to be asked before something is published with one.
    pub fn check_lease_limit(&self, topic: &TopicName) -> Result<(), PublishError> {
        let leases = self.leases();
        let has = leases.has_room() || leases.length(topic).is_some();
        if has { Ok(()) } else { Err(PublishError::TooManyLeases) }
    }

    /// Renews the lease of a topic, if it has one.
    pub fn renew_lease(&self, topic: &TopicName) {
        self.leases().renew_lease(topic);
    }

    /// Ends the topics whose lease runs out, for ever: run it as a task beside serving.
    pub async fn watch_leases(&self) {
        let leases = self.leases();
        loop {
            match self.storage().leases().await {
                Ok(stored) => break leases.take_up(stored),
                Err(error) => tracing::warn!(%error, "the leases cannot be read now"),
            }
            sleep(RETRY).await;
        }
        loop {
            let (overdue, next) = leases.overdue(Instant::now());
            for topic in overdue {
                self.end_of_lease(&topic).await;
            }
            let look = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = look => {}
                () = leases.changed.notified() => {}
            }
        }
    }

    /// Ends a topic, unless it heard of its producer while others were ended. What cannot be ended now
    /// stays overdue.
    async fn end_of_lease(&self, topic: &TopicName) {
        if !self.leases().has_run_out(topic) {
            return;
        }
        match self.publish(Publish::end(topic.clone(), PRODUCER_LOST)).await {
            Ok(_) => {}
            // It had ended before it got its lease.
            Err(PublishError::Ended { .. }) => {
                if let Err(error) = self.set_lease(topic, None).await {
                    tracing::debug!(%error, "a lease is lifted later");
                }
            }
            Err(error) => {
                tracing::warn!(%topic, %error, "a topic that lost its producer is ended later");
            }
        }
    }
}
