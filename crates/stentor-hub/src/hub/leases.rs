//! Leases of a hub: set them, renew them, end the topics whose lease expires.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::Hub;
use crate::lease::{LEASES_MAX, Leases, PRODUCER_LOST, RETRY};
use crate::publish::{Publish, PublishError};
use crate::record::Body;
use crate::topic::TopicName;

impl Hub {
    /// Gives a topic a lease of this length, or removes its lease if `length` is `None`.
    ///
    /// If no event is published to the topic during the lease, the topic is ended with the reason
    /// [`PRODUCER_LOST`], so that its readers do not wait indefinitely. Each event that is published to the topic
    /// renews the lease, even if the log cannot store it at the moment. [`Hub::renew_lease`] also renews it. An end
    /// or a deletion removes it.
    ///
    /// The lease is durable when this returns. After a restart its time starts over. Leases expire only while
    /// [`Hub::watch_leases`] runs.
    ///
    /// # Errors
    ///
    /// [`PublishError::Reserved`] for a name under `$`, [`PublishError::TooManyLeases`] above [`LEASES_MAX`] leases,
    /// and [`PublishError::Storage`].
    pub async fn set_lease(
        &self,
        topic: &TopicName,
        length: Option<Duration>,
    ) -> Result<(), PublishError> {
        if topic.is_reserved() {
            return Err(PublishError::Reserved { topic: topic.clone() });
        }
        let (leases, storage) = (self.leases(), self.storage());
        // One change at a time, so that the stored lease and the lease in memory always match.
        let _change = leases.lock_changes().await;
        let Some(length) = length else {
            storage.set_lease(topic.clone(), None).await?;
            leases.remove(topic);
            return Ok(());
        };
        self.check_lease_limit(topic)?;
        if leases.length(topic) != Some(length) {
            storage.set_lease(topic.clone(), Some(length)).await?;
        }
        leases.insert(topic, length);
        Ok(())
    }

    /// Returns an error if the topic has no lease and [`LEASES_MAX`] others have one. Call this before a publish
    /// that also sets a lease.
    ///
    /// # Errors
    ///
    /// [`PublishError::TooManyLeases`]
    pub fn check_lease_limit(&self, topic: &TopicName) -> Result<(), PublishError> {
        let leases = self.leases();
        let is_allowed = leases.count() < LEASES_MAX || leases.length(topic).is_some();
        if is_allowed { Ok(()) } else { Err(PublishError::TooManyLeases) }
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

    /// Ends the topics whose lease expires. Never returns: run it as a task beside the server.
    pub async fn watch_leases(&self) {
        let leases = self.leases();
        loop {
            match self.storage().leases().await {
                Ok(stored) => break leases.restore(stored),
                Err(error) => tracing::warn!(%error, "cannot read the leases; will retry"),
            }
            sleep(RETRY).await;
        }
        loop {
            let (expired, next) = leases.expired(Instant::now());
            for topic in expired {
                self.end_expired(&topic).await;
            }
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
    }

    /// Ends a topic, unless its lease was renewed while other topics were ended. If the end cannot be stored, the
    /// lease stays expired and the end is retried.
    async fn end_expired(&self, topic: &TopicName) {
        if !self.leases().is_expired(topic) {
            return;
        }
        match self.publish(Publish::end(topic.clone(), PRODUCER_LOST)).await {
            Ok(_) => {}
            // The topic ended before it got its lease.
            Err(PublishError::Ended { .. }) => {
                if let Err(error) = self.set_lease(topic, None).await {
                    tracing::debug!(%error, "cannot remove a lease; will retry");
                }
            }
            Err(error) => {
                tracing::warn!(%topic, %error, "cannot end a topic whose lease expired; will retry");
            }
        }
    }

    fn leases(&self) -> &Leases {
        &self.0.leases
    }
}
