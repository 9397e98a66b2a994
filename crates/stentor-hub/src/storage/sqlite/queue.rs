//! A bounded queue that hands jobs from async callers to worker threads.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use crate::storage::error::StorageError;

/// A job for a thread that owns a worker `W`.
pub(super) type Job<W> = Box<dyn FnOnce(&mut W) + Send>;

/// A bounded queue of jobs for threads that each own a worker `W`.
pub(super) struct Queue<W> {
    jobs: Mutex<Option<Sender<Job<W>>>>,
    /// One permit for each job that waits or runs. This is the bound of the queue: the channel has none.
    permits: Arc<Semaphore>,
}

impl<W: 'static> Queue<W> {
    /// Creates a queue for at most `jobs_max` jobs. Further callers wait in [`Queue::run`].
    pub(super) fn new(jobs_max: usize) -> (Queue<W>, Receiver<Job<W>>) {
        let (sender, receiver) = mpsc::channel();
        let permits = Arc::new(Semaphore::new(jobs_max));
        (Queue { jobs: Mutex::new(Some(sender)), permits }, receiver)
    }

    /// Runs `job` on a worker and returns its result.
    ///
    /// A job that is in the queue runs even if the returned future is dropped.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut W) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let (sender, result) = oneshot::channel();
        let job = Box::new(move |worker: &mut W| {
            // Fails if the caller dropped its future. The job has run anyway.
            let _ = sender.send(job(worker));
            drop(permit);
        });
        self.send(job)?;
        result.await.unwrap_or_else(|_| Err(worker_died()))
    }

    fn send(&self, job: Job<W>) -> Result<(), StorageError> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = jobs.as_ref().ok_or_else(closed)?;
        sender.send(job).map_err(|_| worker_died())
    }

    /// Refuses new jobs. The threads finish the queued jobs, then end.
    pub(super) fn close(&self) {
        self.permits.close();
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

fn closed() -> StorageError {
    StorageError::Unavailable { reason: "it was closed".to_owned() }
}

/// The error for a thread that panicked. The outcome of its job is unknown.
fn worker_died() -> StorageError {
    StorageError::Failed { reason: "a thread of the log ended unexpectedly".to_owned() }
}
