//! The task behind a feed: one request at a time.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;

use super::PublishQueueError;
use super::group::{Group, Item};
use crate::error::PublishError;
use crate::published::Published;
use crate::publisher::Publisher;

pub(super) struct Sender {
    publisher: Publisher,
    topic: String,
    queue: mpsc::Receiver<Item>,
    /// What was taken from the queue and did not fit into the last group.
    next: Option<Item>,
    stopped: Arc<OnceLock<PublishError>>,
}

impl Sender {
    pub(super) fn new(
        publisher: Publisher,
        topic: &str,
        queue: mpsc::Receiver<Item>,
        stopped: Arc<OnceLock<PublishError>>,
    ) -> Sender {
        Sender { publisher, topic: topic.to_owned(), queue, next: None, stopped }
    }

    /// Publishes group by group until nobody can send any more, or one fails.
    pub(super) async fn run(mut self) -> Result<Published, PublishQueueError> {
        let mut all = Published::default();
        while let Some(group) = self.gather().await {
            match self.publish(&group).await {
                Ok(published) => {
                    for Item { done, room, .. } in group.into_items() {
                        drop(room);
                        // Whoever does not want to know has dropped the receipt.
                        let _ = done.send(Ok(published.clone()));
                    }
                    all.append(published);
                }
                Err(cause) => return Err(self.stop(cause, group).await),
            }
        }
        Ok(all)
    }

    /// The next group: what there is, as soon as there is anything.
    async fn gather(&mut self) -> Option<Group> {
        let mut item = match self.next.take() {
            Some(item) => item,
            None => self.queue.recv().await?,
        };
        let mut group = Group::default();
        loop {
            if !group.has_room_for(&item) {
                self.next = Some(item);
                return Some(group);
            }
            group.push(item);
            match self.queue.try_recv() {
                Ok(next) => item = next,
                Err(_) => return Some(group),
            }
        }
    }

    async fn publish(&self, group: &Group) -> Result<Published, PublishError> {
        match group.single() {
            Some(publish) => self.publisher.publish(&self.topic, publish.clone()).await,
            None if group.events == 0 => Ok(Published::default()),
            None => self.publisher.publish_together(group.batch(&self.topic), None).await,
        }
    }

    /// Tells everybody, and gives back what is not published.
    async fn stop(mut self, cause: PublishError, group: Group) -> PublishQueueError {
        // First the cause, for whoever finds the queue closed looks for it.
        let _ = self.stopped.set(cause.clone());
        self.queue.close();
        let in_doubt = if cause.may_be_published() { group.events } else { 0 };
        let mut items = group.into_items();
        items.extend(self.next.take());
        while let Some(item) = self.queue.recv().await {
            items.push(item);
        }
        let mut unpublished = Vec::new();
        for Item { publish, done, .. } in items {
            unpublished.extend(publish);
            let _ = done.send(Err(cause.clone()));
        }
        PublishQueueError { cause, unpublished, in_doubt }
    }
}
