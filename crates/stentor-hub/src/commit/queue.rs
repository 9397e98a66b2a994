//! The queue of the committer: groups of publishes that wait for an append.

use std::collections::VecDeque;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::batch::Batch;
use super::patience::Patience;
use super::waiter::Waiter;
use crate::publish::Publish;

/// Bound of the queue and the append in flight, in permits. A publish takes a permit for each entry and for each
/// [`PERMIT_BYTES`] of data, so that at most 16,384 publishes and about 64 MiB wait. Further publishers wait for
/// permits.
pub(super) const QUEUE_PERMITS: u32 = 16_384;
/// Bytes of data for which a publish takes another permit.
const PERMIT_BYTES: usize = 4 << 10;
/// Maximum number of publishes in one append.
const BATCH_PUBLISHES_MAX: usize = 4_096;
/// Maximum bytes of one append. A single larger group is appended alone.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// The groups that wait, and the state of the committer's task.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Group>,
    /// `true` while a task appends the queue. There is never more than one.
    pub(super) has_task: bool,
    /// Start of the task's current step (an append, or the wait before one).
    pub(super) step_started: Option<Instant>,
    /// Number of groups for which the task waits before the next append.
    pub(super) expected: Option<usize>,
    /// Number of groups of the last append.
    pub(super) last_groups: usize,
    pub(super) patience: Patience,
    /// The append in flight of a task that ended early. The next task completes it.
    pub(super) orphan: Option<Batch>,
    /// `true` while a new task is being started on another runtime.
    pub(super) is_handing_over: bool,
}

/// The publishes of one call. They are appended in one batch.
pub(super) struct Group {
    pub(super) publishes: Vec<Publish>,
    pub(super) waiter: Waiter,
}

impl Queue {
    pub(super) fn push(&mut self, group: Group) {
        self.waiting.push_back(group);
    }

    /// Number of groups that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns `true` if the task has the groups that it waits for.
    pub(super) fn is_gathered(&self) -> bool {
        self.expected.is_some_and(|expected| self.len() >= expected)
    }

    /// Takes groups up to the bounds of a batch. Groups are never split.
    pub(super) fn take(&mut self) -> (Vec<Publish>, Vec<Waiter>) {
        let (mut publishes, mut waiters) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        while let Some(group) = self.waiting.front() {
            bytes += group.publishes.iter().map(Publish::bytes).sum::<usize>();
            let count = publishes.len() + group.publishes.len();
            let is_full = count > BATCH_PUBLISHES_MAX || bytes > BATCH_BYTES_MAX;
            if is_full && !waiters.is_empty() {
                break;
            }
            let Some(group) = self.waiting.pop_front() else { break };
            waiters.push(group.waiter);
            publishes.extend(group.publishes);
        }
        (publishes, waiters)
    }

    /// Takes the callers of the append in flight and of all groups that wait. The publishes that wait are dropped.
    pub(super) fn take_waiters(&mut self) -> Vec<Waiter> {
        let mut waiters = self.orphan.as_mut().map(Batch::take_waiters).unwrap_or_default();
        waiters.extend(self.waiting.drain(..).map(|group| group.waiter));
        waiters
    }

    /// The runtimes of the callers that wait for an append.
    pub(super) fn runtimes(&self) -> impl Iterator<Item = &Handle> {
        let in_flight = self.orphan.iter().flat_map(Batch::waiters);
        in_flight.chain(self.waiting.iter().map(|group| &group.waiter)).filter_map(Waiter::runtime)
    }
}

/// The permits that a publish takes from the queue.
pub(super) fn permits_of(publish: &Publish) -> u32 {
    let permits = publish.entries.len().max(1) + publish.bytes() / PERMIT_BYTES;
    u32::try_from(permits).unwrap_or(u32::MAX)
}
