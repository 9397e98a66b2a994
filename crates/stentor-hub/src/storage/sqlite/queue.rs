//! Work for a thread, handed in by futures.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use crate::storage::StorageError;

/// What a worker is asked to do.
pub(super) type Job<W> = Box<dyn FnOnce(&mut W) + Send>;

/// A bounded queue to threads that each own a worker `W`.
pub(super) struct Queue<W> {
    jobs: Mutex<Option<Sender<Job<W>>>>,
    /// One permit for each job that waits or runs: this is the bound, the channel has none.
    permits: Arc<Semaphore>,
}

impl<W: 'static> Queue<W> {
    /// A queue for at most so many jobs; further ones wait in their futures.
    pub(super) fn new(jobs_max: usize) -> (Queue<W>, Receiver<Job<W>>) {
        let (sender, receiver) = mpsc::channel();
        let permits = Arc::new(Semaphore::new(jobs_max));
        (Queue { jobs: Mutex::new(Some(sender)), permits }, receiver)
    }

    /// Has a worker do something and waits for its answer. Once the job is in the queue it is done,
    /// whether or not anybody still waits.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut W) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let (answer, answered) = oneshot::channel();
        let job = Box::new(move |worker: &mut W| {
            // Nobody may wait any more; what was done stays done.
            let _ = answer.send(question(worker));
            drop(permit);
        });
        self.send(job)?;
        answered.await.unwrap_or_else(|_| Err(ended()))
    }

    fn send(&self, job: Job<W>) -> Result<(), StorageError> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = jobs.as_ref().ok_or_else(closed)?;
        sender.send(job).map_err(|_| ended())
    }

    /// Takes no more jobs. The threads finish those that wait, and end.
    pub(super) fn close(&self) {
        self.permits.close();
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn closed() -> StorageError {
    StorageError::Unavailable { reason: "it was closed".to_owned() }
}

/// A thread that is gone although nobody closed the queue: it panicked, and what it was doing is unknown.
fn ended() -> StorageError {
    StorageError::Failed { reason: "a thread of the log ended unexpectedly".to_owned() }
}
