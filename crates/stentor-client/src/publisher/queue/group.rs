//! Queued events, and the groups that are sent in one request.

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::publisher::batch::{BatchItem, encode_batch};
use crate::publisher::error::PublishError;
use crate::publisher::publish::Publish;
use crate::publisher::published::Published;

/// An entry of the queue.
#[derive(Debug)]
pub(super) struct QueuedPublish {
    /// The event; `None` for a flush, which is acknowledged after all earlier events.
    pub(super) publish: Option<Publish>,
    pub(super) done: oneshot::Sender<Result<Published, PublishError>>,
    /// The event's share of the byte budget, released when the event is published.
    pub(super) permit: Option<OwnedSemaphorePermit>,
}

/// Events that are sent in one request.
#[derive(Debug, Default)]
pub(super) struct Group {
    entries: Vec<QueuedPublish>,
    /// Number of entries with an event.
    pub(super) events: usize,
    bytes: usize,
    /// `true` if no further event can be added.
    is_full: bool,
}

impl Group {
    /// Maximum number of events in a request.
    pub(super) const EVENTS_MAX: usize = 1_000;

    /// Maximum size of the events in a request, in bytes. A larger event is sent alone.
    pub(super) const BYTES_MAX: usize = 1 << 20;

    /// Returns `true` if the entry can be sent together with those in the group.
    pub(super) fn has_room_for(&self, entry: &QueuedPublish) -> bool {
        let Some(publish) = &entry.publish else { return true };
        self.events == 0
            || (!self.is_full
                && publish.plain_data().is_some()
                && self.bytes + publish.bytes() <= Self::BYTES_MAX)
    }

    pub(super) fn push(&mut self, entry: QueuedPublish) {
        if let Some(publish) = &entry.publish {
            self.events += 1;
            self.bytes += publish.bytes();
            self.is_full = publish.plain_data().is_none() || self.events >= Self::EVENTS_MAX;
        }
        self.entries.push(entry);
    }

    /// Returns the event if there is exactly one.
    pub(super) fn single(&self) -> Option<&Publish> {
        if self.events == 1 { self.publishes().next() } else { None }
    }

    /// Encodes all events as the body of a batch.
    pub(super) fn to_batch(&self, topic: &str) -> Bytes {
        encode_batch(self.publishes().map(|publish| BatchItem {
            topic,
            data: publish.plain_data().unwrap_or_default(),
            event_type: publish.event_type.as_deref(),
            retry: publish.retry.map(|retry| retry.as_millis()),
        }))
    }

    fn publishes(&self) -> impl Iterator<Item = &Publish> {
        self.entries.iter().filter_map(|entry| entry.publish.as_ref())
    }

    pub(super) fn into_entries(self) -> Vec<QueuedPublish> {
        self.entries
    }
}
