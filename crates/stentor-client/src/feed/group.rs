//! What waits in a feed, and what goes together.

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::PublishQueue;
use crate::batch::{BatchItem, json};
use crate::error::PublishError;
use crate::publish::Publish;
use crate::published::Published;

/// A place in the queue.
#[derive(Debug)]
pub(super) struct Item {
    /// What is to be published; `None` is the wish to know when all before is.
    pub(super) publish: Option<Publish>,
    pub(super) done: oneshot::Sender<Result<Published, PublishError>>,
    /// What it takes of the queue, given back when it is published.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// What goes in one request.
#[derive(Debug, Default)]
pub(super) struct Group {
    items: Vec<Item>,
    /// How many of the items are to be published.
    pub(super) events: usize,
    bytes: usize,
    /// Nothing goes together with what is in it.
    is_full: bool,
}

impl Group {
    /// Whether an item goes together with what is in it.
    pub(super) fn has_room_for(&self, item: &Item) -> bool {
        let Some(publish) = &item.publish else { return true };
        self.events == 0
            || (!self.is_full
                && publish.plain_data().is_some()
                && self.bytes + publish.bytes() <= PublishQueue::REQUEST_BYTES_MAX)
    }

    pub(super) fn push(&mut self, item: Item) {
        if let Some(publish) = &item.publish {
            self.events += 1;
            self.bytes += publish.bytes();
            self.is_full =
                publish.plain_data().is_none() || self.events >= PublishQueue::REQUEST_EVENTS_MAX;
        }
        self.items.push(item);
    }

    /// What is to be published, if that is a single one.
    pub(super) fn single(&self) -> Option<&Publish> {
        if self.events == 1 { self.publishes().next() } else { None }
    }

    /// The body of a batch of all of it.
    pub(super) fn batch(&self, topic: &str) -> Bytes {
        json(self.publishes().map(|publish| BatchItem {
            topic,
            data: publish.plain_data().unwrap_or_default(),
            event_type: publish.event_type.as_deref(),
            retry: publish.retry.map(|retry| retry.as_millis()),
        }))
    }

    fn publishes(&self) -> impl Iterator<Item = &Publish> {
        self.items.iter().filter_map(|item| item.publish.as_ref())
    }

    pub(super) fn into_items(self) -> Vec<Item> {
        self.items
    }
}
