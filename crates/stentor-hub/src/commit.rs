//! Group commit: publishes that arrive while an append is in flight are appended together in the next one.
//!
//! ```text
//! Committer.commit -> queue    groups wait for the storage's writer; bounded in publishes and bytes
//!                     task     owns the queue: one append in flight, then the next batch; restarts if it ends early
//!                     batch    the append in flight, with its waiters: the callers, their permits and guards
//!                     gather   the wait before an append, in which publishers can join it
//!                     patience skips that wait after several waits in vain
//! ```

mod batch;
mod gather;
mod patience;
mod queue;
mod readiness;
mod state;
mod task;
mod waiter;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::queue::{Group, QUEUE_PERMITS, permits_of};
pub use self::readiness::NotReady;
use self::state::State;
use self::task::Task;
pub(crate) use self::waiter::Guard;
use self::waiter::{Outcomes, Waiter};
use crate::publish::Publish;
use crate::storage::{Outcome, Storage, StorageError};
use crate::timestamp::Timestamp;

/// Passes publishes to the storage, with one append in flight at a time.
///
/// A storage that never waits (memory) appends in the call of the publisher. For other storages, a task on the
/// publisher's runtime appends until the queue is empty. The publishers do not depend on it: if it ends early, a new
/// task continues on the runtime of another publisher.
#[derive(Clone)]
pub(crate) struct Committer(Arc<State>);

impl Committer {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Committer {
        Committer(Arc::new(State::new(storage)))
    }

    /// Appends a publish without waiting. Returns it as `Err` if the storage may have to wait, or if other publishers
    /// wait.
    #[expect(clippy::result_large_err, reason = "the caller gets the publish back")]
    pub(crate) fn commit_now(&self, publish: Publish) -> Result<Outcome, Publish> {
        // The lock is held during the append, so that only one is in flight. That is acceptable because `append_now`
        // takes no longer than entering the queue and being woken.
        let queue = self.0.queue();
        // The publish must not overtake others. It needs no permits: it is appended before the next one is accepted.
        if queue.has_task || self.0.has_entering() {
            return Err(publish);
        }
        let outcome = self.0.storage.append_now(publish, Timestamp::now())?;
        self.0.commits.fetch_add(1, Ordering::Relaxed);
        Ok(outcome)
    }

    /// Appends publishes in order, in one batch with concurrent calls. `guard` is dropped when they are appended or
    /// refused, or when they can no longer enter the queue.
    pub(crate) async fn commit(
        &self,
        mut publishes: Vec<Publish>,
        guard: Option<Guard>,
    ) -> Outcomes {
        let Some(first) = publishes.first_mut() else { return Ok(Vec::new()) };
        // The previous publish of the batch may belong to another caller.
        first.requires_previous = false;
        let runtime = Handle::try_current().ok();
        if runtime.is_none() && !self.0.storage.commits_at_once() {
            return Err(without_runtime());
        }
        let permits = publishes.iter().map(permits_of).fold(0, u32::saturating_add);
        let permits = permits.min(QUEUE_PERMITS);
        let mut entering = None;
        // Fails if there are too few permits or if others wait for them.
        let permits = if let Ok(free) = Arc::clone(&self.0.permits).try_acquire_many_owned(permits)
        {
            free
        } else {
            entering = Some(self.0.enter());
            let acquired = Arc::clone(&self.0.permits).acquire_many_owned(permits).await;
            acquired.map_err(|_| closed())?
        };
        let (reply, outcomes) = oneshot::channel();
        let waiter =
            Waiter { count: publishes.len(), reply, runtime: runtime.clone(), permits, guard };
        self.enqueue(Group { publishes, waiter }, runtime);
        drop(entering);
        outcomes.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Adds a group to the queue, and starts a task if there is none.
    fn enqueue(&self, group: Group, runtime: Option<Handle>) {
        let task = {
            let mut queue = self.0.queue();
            queue.push(group);
            if queue.is_gathered() {
                self.0.gathered.notify_one();
            }
            if queue.has_task { None } else { Some(Task::new(&self.0, &mut queue)) }
        };
        match (task, runtime) {
            (None, _) => {}
            (Some(task), Some(runtime)) if !self.0.storage.commits_at_once() => {
                task.start(&runtime);
            }
            (Some(task), runtime) => task.run_inline(runtime),
        }
    }

    /// Number of successful appends.
    pub(crate) fn commits(&self) -> u64 {
        self.0.commits.load(Ordering::Relaxed)
    }

    /// Number of groups in the queue.
    pub(crate) fn queued(&self) -> usize {
        self.0.queue().len()
    }

    /// Number of tasks that ended before the queue was empty.
    pub(crate) fn restarts(&self) -> u64 {
        self.0.restarts.load(Ordering::Relaxed)
    }

    /// Returns an error if the append in flight, or a query to the storage, takes longer than `deadline`.
    pub(crate) async fn check_ready(&self, deadline: Duration) -> Result<(), NotReady> {
        if let Some(error) = &*self.0.failure.borrow() {
            return Err(error.clone().into());
        }
        let running = self.0.queue().step_started.map(|started| started.elapsed());
        if let Some(running) = running.filter(|running| *running > deadline) {
            return Err(NotReady::AppendOverdue { running });
        }
        match timeout(deadline, self.0.storage.check()).await {
            Ok(checked) => Ok(checked?),
            Err(_) => Err(NotReady::StorageOverdue { deadline }),
        }
    }

    /// Waits until an append has failed permanently, and returns the error.
    pub(crate) async fn failed(&self) -> StorageError {
        let mut failure = self.0.failure.subscribe();
        loop {
            if let Some(error) = &*failure.borrow_and_update() {
                return error.clone();
            }
            if failure.changed().await.is_err() {
                return closed();
            }
        }
    }
}

fn closed() -> StorageError {
    StorageError::Unavailable {
        reason: "the hub is closing; publish again after the restart".to_owned(),
    }
}

fn without_runtime() -> StorageError {
    StorageError::Unavailable {
        reason: "publishing to this log needs a tokio runtime; call it from a task".to_owned(),
    }
}
