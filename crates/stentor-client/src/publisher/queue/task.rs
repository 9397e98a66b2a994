//! The background task of a queue. It sends one request at a time.

use std::sync::{Arc, OnceLock};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::error::PublishQueueError;
use super::group::{Group, QueuedPublish};
use crate::publisher::Publisher;
use crate::publisher::error::PublishError;
use crate::publisher::published::Published;

pub(super) struct QueueTask {
    publisher: Publisher,
    topic: String,
    receiver: mpsc::Receiver<QueuedPublish>,
    /// An entry taken from the queue that did not fit into the last group.
    next: Option<QueuedPublish>,
    stopped: Arc<OnceLock<PublishError>>,
}

/// The running task. Dropping the handle aborts it.
#[derive(Debug)]
pub(super) struct TaskHandle(JoinHandle<Result<Published, PublishQueueError>>);

impl QueueTask {
    pub(super) fn new(
        publisher: Publisher,
        topic: &str,
        receiver: mpsc::Receiver<QueuedPublish>,
        stopped: Arc<OnceLock<PublishError>>,
    ) -> QueueTask {
        QueueTask { publisher, topic: topic.to_owned(), receiver, next: None, stopped }
    }

    /// Starts the task.
    ///
    /// # Panics
    ///
    /// Panics if called outside a Tokio runtime.
    pub(super) fn spawn(self) -> TaskHandle {
        TaskHandle(tokio::spawn(self.run()))
    }

    /// Publishes group by group until the queue is closed and empty, or a request fails.
    async fn run(mut self) -> Result<Published, PublishQueueError> {
        let mut all = Published::default();
        while let Some(group) = self.next_group().await {
            match self.publish(&group).await {
                Ok(published) => {
                    for QueuedPublish { done, permit, .. } in group.into_entries() {
                        drop(permit);
                        // Fails if the caller dropped its acknowledgement, which is allowed.
                        let _ = done.send(Ok(published.clone()));
                    }
                    all.append(published);
                }
                Err(cause) => return Err(self.stop(cause, group).await),
            }
        }
        Ok(all)
    }

    /// Waits for an entry, and adds the entries that are queued already. Returns `None` when the queue is closed.
    async fn next_group(&mut self) -> Option<Group> {
        let mut entry = match self.next.take() {
            Some(entry) => entry,
            None => self.receiver.recv().await?,
        };
        let mut group = Group::default();
        loop {
            if !group.has_room_for(&entry) {
                self.next = Some(entry);
                return Some(group);
            }
            group.push(entry);
            match self.receiver.try_recv() {
                Ok(next) => entry = next,
                Err(_) => return Some(group),
            }
        }
    }

    async fn publish(&self, group: &Group) -> Result<Published, PublishError> {
        match group.single() {
            Some(publish) => self.publisher.publish(&self.topic, publish.clone()).await,
            None if group.events == 0 => Ok(Published::default()),
            None => self.publisher.publish_batch(group.to_batch(&self.topic), None).await,
        }
    }

    /// Stops the queue after an error. Reports the error for each entry, and returns the unpublished events.
    async fn stop(mut self, cause: PublishError, group: Group) -> PublishQueueError {
        // Set the cause before closing the queue: a sender that finds it closed reads the cause.
        let _ = self.stopped.set(cause.clone());
        self.receiver.close();
        let in_doubt = if cause.may_be_published() { group.events } else { 0 };
        let mut entries = group.into_entries();
        entries.extend(self.next.take());
        while let Some(entry) = self.receiver.recv().await {
            entries.push(entry);
        }
        let mut unpublished = Vec::new();
        for QueuedPublish { publish, done, .. } in entries {
            unpublished.extend(publish);
            let _ = done.send(Err(cause.clone()));
        }
        PublishQueueError { cause, unpublished, in_doubt }
    }
}

impl TaskHandle {
    /// Waits until the task ends.
    pub(super) async fn join(mut self) -> Result<Published, PublishQueueError> {
        (&mut self.0).await.unwrap_or_else(|_| {
            // The task fails to join only if the runtime shuts down.
            let cause = PublishError::QueueDropped;
            Err(PublishQueueError { cause, unpublished: Vec::new(), in_doubt: 0 })
        })
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        self.0.abort();
    }
}
