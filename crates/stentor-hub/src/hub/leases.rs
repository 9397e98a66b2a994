//! Leases of a hub: set them, renew them, end the topics whose lease expires.

mod clock;
mod deadlines;

use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, sleep_until};

use self::clock::TICK;
pub(crate) use self::deadlines::Leases;
use super::{Hub, settle};
use crate::backoff::Backoff;
use crate::lease::PRODUCER_LOST;
use crate::publish::{Publish, PublishError, refuse_reserved};
use crate::record::Body;
use crate::storage::Outcome;
use crate::topic::TopicName;

/// Maximum number of topics that are ended at the same time because their leases have expired.
const ENDS_AT_ONCE_MAX: usize = 256;

impl Hub {
    /// Gives a topic a lease of this length, or removes its lease if `length` is `None`.
    ///
    /// If no event is published to the topic during the lease, the topic is ended with the reason
    /// [`PRODUCER_LOST`], so that its readers do not wait indefinitely. Each event that is published to the topic
    /// renews the lease, even if the log cannot store it at the moment. [`Hub::renew_lease`] also renews it. An end
    /// or a deletion removes it.
    ///
    /// The lease is durable when this returns, in whole seconds (rounded up). It lasts at most 30 years. After a
    /// restart its time starts over. Leases expire only while [`Hub::watch_leases`] runs. Time in which the whole
    /// process stands still (a suspended machine, a stopped process) does not count.
    ///
    /// To publish an event and set the lease in one step, use [`Publish::with_lease`].
    ///
    /// # Errors
    ///
    /// [`PublishError::Reserved`] for a name under `$`, [`PublishError::Ended`] for a topic that has ended,
    /// [`PublishError::TooManyLeases`] above [`LEASES_MAX`](crate::LEASES_MAX) leases, and [`PublishError::Storage`].
    /// Removing a lease fails only with the first and the last of them.
    pub async fn set_lease(
        &self,
        topic: &TopicName,
        length: Option<Duration>,
    ) -> Result<(), PublishError> {
        refuse_reserved(topic)?;
        self.leases().renew(topic);
        let publish = Publish::only_lease(topic.clone(), length);
        let outcomes = match self.0.committer.commit_now(publish) {
            Ok(outcome) => vec![outcome],
            Err(publish) => self.0.committer.commit(vec![publish], None).await?,
        };
        match outcomes.into_iter().next() {
            Some(Outcome::LeaseChanged) | None => Ok(()),
            Some(refused) => settle(refused).map(drop),
        }
    }

    /// Renews the lease of a topic, if it has one.
    pub fn renew_lease(&self, topic: &TopicName) {
        self.leases().renew(topic);
    }

    /// Renews the leases of the topics of a publish. Called when the publish arrives, because the log may be slow or
    /// refuse it for a while.
    pub(super) fn renew_leases_of(&self, publish: &Publish) {
        for entry in &publish.entries {
            if matches!(entry.body, Body::Event(_)) {
                self.leases().renew(&entry.topic);
            }
        }
    }

    /// Ends the topics whose lease expires. Never returns: run it as a task beside the server. After an error of the
    /// storage, ends are retried each second, and reading the stored leases with growing pauses (1 to 10 s).
    ///
    /// If the process or its runtime stands still, so that this task wakes late, all deadlines move by that time: the
    /// producers could not renew their leases. If this future is dropped and called again, it continues with the same
    /// deadlines.
    pub async fn watch_leases(&self) {
        let leases = self.leases();
        // A clock without a watcher must not take the time until the next one for a stall.
        let _stop = Stop(leases);
        let mut retry = Backoff::default();
        loop {
            leases.start_reading();
            match self.storage().leases().await {
                Ok(stored) => break leases.restore(stored),
                Err(error) => tracing::warn!(%error, "cannot read the leases; will retry"),
            }
            leases.stop_reading();
            retry.pause().await;
        }
        loop {
            leases.tick();
            let mut round = pin!(self.end_all_expired());
            loop {
                tokio::select! {
                    () = &mut round => break,
                    () = sleep(TICK), if !leases.is_empty() => leases.tick(),
                }
            }
        }
    }

    /// Ends the topics whose lease has expired, then waits until the next one may expire.
    async fn end_all_expired(&self) {
        let leases = self.leases();
        let (expired, next) = leases.expired();
        self.end_all(&expired).await;
        let deadline = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = deadline => {}
            () = leases.changed() => {}
        }
    }

    /// Ends topics whose lease has expired: one, then twice as many at a time, which share an append. A producer that
    /// comes back meanwhile keeps its topic, unless the end is already being appended.
    async fn end_all(&self, expired: &[TopicName]) {
        let (mut rest, mut count) = (expired, 1);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(count.min(rest.len()));
            let ended = join_all(now.iter().map(|topic| self.end_expired(topic))).await;
            for (topic, result) in now.iter().zip(ended) {
                let Err(error) = result else { continue };
                tracing::warn!(%topic, %error, "cannot end a topic whose lease expired; will retry");
                if matches!(error, PublishError::Storage(_)) {
                    // The log would refuse the other ends too. They are retried with this one.
                    return;
                }
            }
            (rest, count) = (later, (2 * count).min(ENDS_AT_ONCE_MAX));
        }
    }

    /// Ends a topic, unless its lease was renewed while other topics were ended. If the end cannot be stored, the
    /// lease stays expired and the end is retried.
    async fn end_expired(&self, topic: &TopicName) -> Result<(), PublishError> {
        if !self.leases().is_expired(topic) {
            return Ok(());
        }
        match self.publish(Publish::end(topic.clone(), PRODUCER_LOST)).await {
            // The topic ended before it got its lease.
            Err(PublishError::Ended { .. }) => self.set_lease(topic, None).await,
            other => other.map(drop),
        }
    }

    fn leases(&self) -> &Leases {
        &self.0.leases
    }
}

/// Tells the leases when the watcher is dropped.
struct Stop<'a>(&'a Leases);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}
