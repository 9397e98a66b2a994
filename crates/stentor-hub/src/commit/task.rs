//! The committer's task: appends the queue, batch by batch, until it is empty.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::batch::{Answered, Batch, fail};
use super::gather;
use super::queue::Queue;
use super::state::State;
use super::waiter::Waiter;
use crate::storage::StorageError;

/// Maximum number of batches that a publisher appends in its own call before a task continues.
const INLINE_BATCHES_MAX: usize = 16;

/// The owner of the queue. There is at most one for each hub.
///
/// If it is dropped before the queue is empty, because the storage panicked or its runtime shuts down, a new task
/// continues on the runtime of a publisher that waits.
pub(super) struct Task {
    state: Arc<State>,
    batch: Option<Batch>,
    is_done: bool,
}

impl Task {
    /// Takes over the queue, which has no task.
    pub(super) fn new(state: &Arc<State>, queue: &mut Queue) -> Task {
        queue.has_task = true;
        queue.step_started = Some(Instant::now());
        Task { state: Arc::clone(state), batch: queue.orphan.take(), is_done: false }
    }

    /// Appends the queue in this call, while the storage completes at once.
    pub(super) fn run_inline(mut self, runtime: Option<Handle>) {
        let mut batches = 0;
        while batches < INLINE_BATCHES_MAX || runtime.is_none() {
            if !self.start_append() {
                return;
            }
            match self.poll_in_call() {
                None => return,
                Some(Poll::Pending) => break,
                Some(Poll::Ready(())) => batches += 1,
            }
        }
        if let Some(runtime) = runtime {
            self.continue_on(&runtime);
        }
    }

    /// Appends the queue on a runtime, for a storage that waits. No append is in flight.
    pub(super) fn start(mut self, runtime: &Handle) {
        if self.state.queue().last_groups > 1 {
            runtime.spawn(async move {
                gather::before_first_append().await;
                self.run().await;
            });
            return;
        }
        // A single publisher does not even wait for the start of a task.
        if self.start_append() && self.poll_in_call().is_some() {
            self.continue_on(runtime);
        }
    }

    /// Polls the append in flight in the call of a publisher. Returns `None` if the storage panicked: the task must
    /// then be dropped. The publisher gets an error like the others of the batch, and does not panic with the storage.
    fn poll_in_call(&mut self) -> Option<Poll<()>> {
        let poll = || self.poll_append(&mut Context::from_waker(Waker::noop())).map(drop);
        // Unwind safe: the batch is not polled again, see `Batch::has_panicked`.
        catch_unwind(AssertUnwindSafe(poll)).ok()
    }

    /// Continues on a runtime.
    fn continue_on(self, runtime: &Handle) {
        runtime.spawn(self.run());
    }

    async fn run(mut self) {
        let is_waiting = !self.state.storage.commits_at_once();
        loop {
            let is_orphan = self.batch.is_some();
            if !self.start_append() {
                return;
            }
            if !is_orphan && let Some(runtime) = self.move_to() {
                // The append starts here, and is awaited there.
                if self.poll_append(&mut Context::from_waker(Waker::noop())).is_pending() {
                    self.continue_on(&runtime);
                    return;
                }
                continue;
            }
            let (answered, waiting) = std::future::poll_fn(|cx| self.poll_append(cx)).await;
            if is_waiting {
                gather::after_append(&self.state, answered, waiting).await;
            }
        }
    }

    /// Returns the runtime of the oldest publisher of the batch, if none of its publishers is on this one. So the task
    /// does not stay on a runtime without publishers.
    fn move_to(&self) -> Option<Handle> {
        let current = Handle::try_current().ok()?.id();
        let mut runtimes = self.batch.as_ref()?.waiters().filter_map(Waiter::runtime);
        let oldest = runtimes.next()?;
        let is_here = oldest.id() == current || runtimes.any(|runtime| runtime.id() == current);
        if is_here { None } else { Some(oldest.clone()) }
    }

    /// Takes a batch from the queue, unless one is in flight. Returns `false` if the queue is empty; the task is then
    /// done.
    fn start_append(&mut self) -> bool {
        let mut queue = self.state.queue();
        if self.batch.is_none() {
            let (publishes, waiters) = queue.take();
            if waiters.is_empty() {
                queue.has_task = false;
                queue.step_started = None;
                self.is_done = true;
                return false;
            }
            queue.last_groups = waiters.len();
            self.batch = Some(Batch::new(Arc::clone(&self.state.storage), publishes, waiters));
        }
        queue.step_started = Some(Instant::now());
        true
    }

    /// Polls the append in flight, and answers its publishers. Also returns the number of groups that waited before
    /// these were answered.
    fn poll_append(&mut self, cx: &mut Context<'_>) -> Poll<(Answered, usize)> {
        let Some(batch) = &mut self.batch else { return Poll::Pending };
        let outcomes = ready!(batch.poll(cx));
        self.state.note(&outcomes);
        let waiting = {
            let mut queue = self.state.queue();
            queue.step_started = Some(Instant::now());
            queue.len()
        };
        match self.batch.take() {
            Some(batch) => Poll::Ready((batch.answer(outcomes), waiting)),
            None => Poll::Pending,
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut batch = self.batch.take();
        if let Some(mut panicked) = batch.take_if(|batch| batch.has_panicked()) {
            tracing::error!("the log panicked during an append; the committer restarts");
            let error = unknown_outcome("the log panicked during the append");
            fail(panicked.take_waiters(), &error);
        }
        hand_over(&self.state, batch);
    }
}

/// Starts a new task on the runtime of a publisher that waits. `batch` is the append that is in flight.
///
/// If all their runtimes are shutting down, the publishers get an error.
fn hand_over(state: &Arc<State>, batch: Option<Batch>) {
    {
        let mut queue = state.queue();
        queue.orphan = batch;
        queue.has_task = false;
        queue.step_started = None;
        queue.expected = None;
        // A runtime that is shutting down drops the new task within `spawn`. The loop below then tries the next one.
        if std::mem::replace(&mut queue.is_handing_over, true) {
            return;
        }
    }
    let restarts = state.restarts.fetch_add(1, Ordering::Relaxed) + 1;
    tracing::debug!(restarts, "group commit continues in a new task");
    let mut tried = Vec::new();
    loop {
        let mut queue = state.queue();
        if queue.has_task || queue.len() == 0 && queue.orphan.is_none() {
            queue.is_handing_over = false;
            return;
        }
        let next = queue.runtimes().find(|runtime| !tried.contains(&runtime.id())).cloned();
        let Some(runtime) = next else {
            return fail_all(queue);
        };
        tried.push(runtime.id());
        let task = Task::new(state, &mut queue);
        drop(queue);
        task.continue_on(&runtime);
    }
}

/// Answers all publishers with an error, because none of their runtimes can run a task.
///
/// The append in flight stays in the queue, so that the next task waits for its end.
fn fail_all(mut queue: MutexGuard<'_, Queue>) {
    queue.is_handing_over = false;
    let waiters = queue.take_waiters();
    drop(queue);
    fail(waiters, &unknown_outcome("the runtime of the publisher shut down"));
}

/// The error of a publisher whose append has no known outcome.
fn unknown_outcome(cause: &str) -> StorageError {
    StorageError::Unavailable {
        reason: format!(
            "{cause}, and the event may be stored; only repeat it with its idempotency key"
        ),
    }
}
