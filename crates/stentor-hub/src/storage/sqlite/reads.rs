//! The queue of queries to the reading threads. Short queries come first.
//!
//! A query runs in steps, each of which looks at a bounded number of rows. The first step of a query waits behind
//! other first steps. The next ones wait behind all first steps, in turn with those of other long queries, and at
//! least one thread is always free of them. So a short query waits for at most one step.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::read::snapshot::ReadConnection;
use crate::storage::error::StorageError;
use crate::storage::result::QueryCounts;

/// Maximum number of queries that wait or run. Further ones are refused with [`StorageError::Busy`].
pub(super) const QUERIES_MAX: usize = 1_024;
/// Maximum number of them that need more than one step. Further ones are refused at their second step.
pub(super) const LONG_MAX: usize = 128;
/// Number of first steps after which a thread takes a later step, if one waits.
const FIRST_IN_A_ROW: u32 = 8;

type Job = Box<dyn FnOnce(&mut ReadConnection) + Send>;

/// The queue. Clones share it.
#[derive(Clone)]
pub(super) struct ReadQueue(Arc<Shared>);

struct Shared {
    jobs: Mutex<Jobs>,
    ready: Condvar,
    queries_max: usize,
    long_max: usize,
    steps: AtomicU64,
    refused: AtomicU64,
    dropped: AtomicU64,
}

/// The steps that wait, by their numbers, and the number of steps that run.
#[derive(Default)]
struct Jobs {
    first: BTreeMap<u64, Job>,
    later: BTreeMap<u64, Job>,
    last_number: u64,
    queries: usize,
    long_queries: usize,
    threads: usize,
    /// Number of threads that run a later step.
    running_later: usize,
    first_in_a_row: u32,
    is_closed: bool,
}

/// The kinds of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    First,
    Later,
}

/// A query between its first and its last step. Dropping it takes a waiting step out of the queue.
pub(super) struct Query {
    queue: ReadQueue,
    kind: Kind,
    waiting: Option<u64>,
    is_counted: bool,
}

impl ReadQueue {
    /// Creates a queue for `threads` threads, each of which must call [`ReadQueue::run_jobs`].
    pub(super) fn new(threads: usize) -> ReadQueue {
        ReadQueue::with_bounds(threads, QUERIES_MAX, LONG_MAX)
    }

    pub(super) fn with_bounds(threads: usize, queries_max: usize, long_max: usize) -> ReadQueue {
        ReadQueue(Arc::new(Shared {
            jobs: Mutex::new(Jobs { threads, ..Jobs::default() }),
            ready: Condvar::new(),
            queries_max,
            long_max,
            steps: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }))
    }

    /// Begins a query.
    ///
    /// # Errors
    ///
    /// [`StorageError::Busy`] if too many queries wait or run.
    pub(super) fn begin(&self) -> Result<Query, StorageError> {
        let mut jobs = self.lock();
        if jobs.queries >= self.0.queries_max {
            drop(jobs);
            return Err(self.refuse());
        }
        jobs.queries += 1;
        Ok(Query { queue: self.clone(), kind: Kind::First, waiting: None, is_counted: true })
    }

    /// Begins a query that is never refused, for readiness checks.
    pub(super) fn begin_check(&self) -> Query {
        Query { queue: self.clone(), kind: Kind::First, waiting: None, is_counted: false }
    }

    /// Runs steps until the queue is closed and empty.
    pub(super) fn run_jobs(&self, connection: &mut ReadConnection) {
        let _ends = EndOfThread(self);
        while let Some((job, kind)) = self.take() {
            self.0.steps.fetch_add(1, Ordering::Relaxed);
            let result = catch_unwind(AssertUnwindSafe(|| job(connection)));
            if kind == Kind::Later {
                self.lock().running_later -= 1;
                self.0.ready.notify_one();
            }
            if let Err(panic) = result {
                resume_unwind(panic);
            }
        }
    }

    fn take(&self) -> Option<(Job, Kind)> {
        let mut jobs = self.lock();
        loop {
            if let Some(next) = jobs.next() {
                return Some(next);
            }
            if jobs.is_closed && jobs.first.is_empty() && jobs.later.is_empty() {
                return None;
            }
            jobs = self.0.ready.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Refuses new steps. The threads run those that wait, then end.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.0.ready.notify_all();
    }

    /// Counts of the queries, for metrics.
    pub(super) fn counts(&self) -> QueryCounts {
        let jobs = self.lock();
        QueryCounts {
            open: jobs.queries as u64,
            long: jobs.long_queries as u64,
            steps: self.0.steps.load(Ordering::Relaxed),
            refused: self.0.refused.load(Ordering::Relaxed),
            dropped: self.0.dropped.load(Ordering::Relaxed),
        }
    }

    fn refuse(&self) -> StorageError {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
        StorageError::Busy
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    fn next(&mut self) -> Option<(Job, Kind)> {
        let is_due = self.first.is_empty() || self.first_in_a_row >= FIRST_IN_A_ROW;
        let may_run = self.running_later < self.threads.saturating_sub(1).max(1);
        if is_due
            && may_run
            && let Some((_, job)) = self.later.pop_first()
        {
            self.running_later += 1;
            self.first_in_a_row = 0;
            return Some((job, Kind::Later));
        }
        let (_, job) = self.first.pop_first()?;
        self.first_in_a_row = self.first_in_a_row.saturating_add(1);
        Some((job, Kind::First))
    }

    fn of(&mut self, kind: Kind) -> &mut BTreeMap<u64, Job> {
        match kind {
            Kind::First => &mut self.first,
            Kind::Later => &mut self.later,
        }
    }
}

impl Query {
    /// Runs the next step on a thread and returns its result. If the returned future is dropped, a step that waits
    /// does not run.
    pub(super) async fn run<T: Send + 'static>(
        &mut self,
        step: impl FnOnce(&mut ReadConnection) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let (sender, result) = oneshot::channel();
        self.push(Box::new(move |connection| {
            // Fails if the caller dropped its future.
            let _ = sender.send(step(connection));
        }))?;
        let result = result.await;
        self.waiting = None;
        result.unwrap_or_else(|_| Err(worker_died()))
    }

    /// Makes the next step a later one.
    pub(super) fn becomes_long(&mut self) -> Result<(), StorageError> {
        if self.kind == Kind::First {
            let mut jobs = self.queue.lock();
            if jobs.long_queries >= self.queue.0.long_max {
                drop(jobs);
                return Err(self.queue.refuse());
            }
            jobs.long_queries += 1;
            self.kind = Kind::Later;
        }
        Ok(())
    }

    fn push(&mut self, job: Job) -> Result<(), StorageError> {
        let mut jobs = self.queue.lock();
        if jobs.is_closed {
            return Err(closed());
        }
        if jobs.threads == 0 {
            return Err(worker_died());
        }
        jobs.last_number += 1;
        let number = jobs.last_number;
        jobs.of(self.kind).insert(number, job);
        drop(jobs);
        self.waiting = Some(number);
        self.queue.0.ready.notify_one();
        Ok(())
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        let mut jobs = self.queue.lock();
        jobs.queries -= usize::from(self.is_counted);
        jobs.long_queries -= usize::from(self.kind == Kind::Later);
        let dropped = self.waiting.map(|number| jobs.of(self.kind).remove(&number));
        drop(jobs);
        if dropped.is_some() {
            self.queue.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Counts the end of a thread. The steps that no thread is left for are dropped, which answers them with an error.
struct EndOfThread<'q>(&'q ReadQueue);

impl Drop for EndOfThread<'_> {
    fn drop(&mut self) {
        let mut jobs = self.0.lock();
        jobs.threads = jobs.threads.saturating_sub(1);
        let mut lost = (BTreeMap::new(), BTreeMap::new());
        if jobs.threads == 0 {
            lost = (std::mem::take(&mut jobs.first), std::mem::take(&mut jobs.later));
        }
        drop(jobs);
        drop(lost);
        self.0.0.ready.notify_all();
    }
}

fn closed() -> StorageError {
    StorageError::Unavailable { reason: "it was closed".to_owned() }
}

/// The error for a thread that panicked. The outcome of its step is unknown.
fn worker_died() -> StorageError {
    StorageError::Failed { reason: "a thread of the log ended unexpectedly".to_owned() }
}
