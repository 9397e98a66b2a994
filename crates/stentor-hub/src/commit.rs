//! Group commit: publishes that arrive while an append is in flight are appended together in the next one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::publish::Publish;
use crate::storage::{Outcome, Storage, StorageError};
use crate::timestamp::Timestamp;

/// Bound of the queue and the append in flight, in permits. A publish takes a permit for each entry and for each
/// [`PERMIT_BYTES`] of data, so that at most 16,384 publishes and about 64 MiB wait. Further publishers wait for permits.
const QUEUE_PERMITS: u32 = 16_384;
/// Bytes of data for which a publish takes another permit.
const PERMIT_BYTES: usize = 4 << 10;
/// Maximum number of publishes in one append.
const BATCH_PUBLISHES_MAX: usize = 4_096;
/// Maximum bytes of one append. A single larger group is appended alone.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Maximum number of batches that a publisher's task appends for others before a new task takes over.
const ROUNDS_MAX: usize = 16;
/// On a slow disk, the committer waits before the next append for 1/4 of the duration of the last append (at most
/// [`GATHER_MAX`]), so that publishers that just got their result can join the next batch. Without the wait, half of
/// them would be late each time.
const GATHER_FRACTION: u32 = 4;
/// Shorter waits are skipped: tokio's timer has a resolution of one millisecond.
const GATHER_MIN: Duration = Duration::from_millis(1);
const GATHER_MAX: Duration = Duration::from_millis(2);
/// After an append of more publishes than this, the committer does not wait: the cost of the sync is already shared
/// by many.
const GATHER_PUBLISHES_MAX: usize = 512;

type Outcomes = Result<Vec<Outcome>, StorageError>;

/// A value that is dropped when a publish has left the queue, such as the permits of its request.
pub(crate) type Guard = Box<dyn Send>;

/// Passes publishes to the storage, with one append in flight at a time.
///
/// A storage that never waits (memory) appends at once. For other storages, the first publisher starts the append, and
/// a task on its runtime completes it, so that a publisher that gives up does not stop the others.
#[derive(Clone)]
pub(crate) struct Committer(Arc<Inner>);

struct Inner {
    storage: Arc<dyn Storage>,
    queue: Mutex<Queue>,
    /// Notified when the queue reaches the expected length.
    gathered: Notify,
    permits: Arc<Semaphore>,
    failure: watch::Sender<Option<StorageError>>,
    commits: AtomicU64,
}

#[derive(Default)]
struct Queue {
    in_flight: bool,
    /// Number of groups to wait for before the next append.
    expected: Option<usize>,
    waiting: VecDeque<Group>,
}

/// The publishes of one call. They are appended in one batch.
struct Group {
    publishes: Vec<Publish>,
    waiter: Waiter,
}

/// The caller of a group, and what the group holds until its append is done.
struct Waiter {
    /// Number of publishes.
    count: usize,
    /// Fails to send if the caller gave up.
    reply: oneshot::Sender<Outcomes>,
    _permits: OwnedSemaphorePermit,
    _guard: Option<Guard>,
}

impl Committer {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Committer {
        Committer(Arc::new(Inner {
            storage,
            queue: Mutex::default(),
            gathered: Notify::new(),
            permits: Arc::new(Semaphore::new(QUEUE_PERMITS as usize)),
            failure: watch::Sender::new(None),
            commits: AtomicU64::new(0),
        }))
    }

    /// Appends a publish without waiting. Returns it as `Err` if the storage may have to wait or an append is in
    /// flight.
    #[expect(clippy::result_large_err, reason = "the caller gets the publish back")]
    pub(crate) fn commit_now(&self, publish: Publish) -> Result<Outcome, Publish> {
        // The lock is held during the append, so that only one is in flight. That is acceptable because `append_now`
        // takes no longer than entering the queue and being woken.
        let queue = self.0.queue();
        // Permits run out only while publishers wait, and this publish must not overtake them.
        if queue.in_flight || self.0.permits.available_permits() < permits_of(&publish) as usize {
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
        if let Some(first) = publishes.first_mut() {
            // The previous publish of the batch may belong to another caller.
            first.requires_previous = false;
        }
        let permits = publishes.iter().map(permits_of).fold(0, u32::saturating_add);
        let permits = Arc::clone(&self.0.permits).acquire_many_owned(permits.min(QUEUE_PERMITS));
        let permits = permits.await.map_err(|_| closed())?;
        let (reply, outcomes) = oneshot::channel();
        let waiter = Waiter { count: publishes.len(), reply, _permits: permits, _guard: guard };
        let group = Group { publishes, waiter };
        let is_first = {
            let mut queue = self.0.queue();
            queue.waiting.push_back(group);
            if queue.expected.is_some_and(|expected| queue.waiting.len() >= expected) {
                self.0.gathered.notify_one();
            }
            !std::mem::replace(&mut queue.in_flight, true)
        };
        if is_first {
            self.append_queue();
        }
        outcomes.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Number of successful appends.
    pub(crate) fn commits(&self) -> u64 {
        self.0.commits.load(Ordering::Relaxed)
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

    /// Appends the queue: in this call while the storage completes at once, otherwise in a task.
    fn append_queue(&self) {
        for _ in 0..ROUNDS_MAX {
            let Some(mut append) = InFlight::start(&self.0) else { return };
            if append.poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                tokio::spawn(append.run());
                return;
            }
        }
        if let Some(append) = InFlight::start(&self.0) {
            tokio::spawn(append.run());
        }
    }
}

/// The permits that a publish takes from the queue.
fn permits_of(publish: &Publish) -> u32 {
    let permits = publish.entries.len().max(1) + publish.bytes() / PERMIT_BYTES;
    u32::try_from(permits).unwrap_or(u32::MAX)
}

fn closed() -> StorageError {
    StorageError::Unavailable { reason: "the hub is closing".to_owned() }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits briefly until the publishers of the last append (`answered` groups, `publishes` publishes, `duration`
    /// long) have published again. Does not wait for a single publisher.
    async fn gather(&self, answered: usize, publishes: usize, duration: Duration) {
        let time = (duration / GATHER_FRACTION).min(GATHER_MAX);
        if time < GATHER_MIN || publishes > GATHER_PUBLISHES_MAX {
            return;
        }
        let expected = {
            let mut queue = self.queue();
            let expected = answered + queue.waiting.len();
            if expected < 2 {
                return;
            }
            queue.expected = Some(expected);
            expected
        };
        let mut guard = GatherGuard { inner: Some(self) };
        let gathered = async {
            while self.queue().waiting.len() < expected {
                self.gathered.notified().await;
            }
        };
        // After a timeout, the next append takes the publishes that are in the queue.
        let _ = timeout(time, gathered).await;
        guard.inner = None;
        self.queue().expected = None;
    }

    /// Returns an error to all queued publishers, because no task is left to append their publishes.
    fn fail_queue(&self) {
        let mut queue = self.queue();
        queue.in_flight = false;
        queue.expected = None;
        for group in queue.waiting.drain(..) {
            let _ = group.waiter.reply.send(Err(closed()));
        }
    }
}

/// Guards the wait between two appends. If the wait is cancelled (the runtime shuts down), the queued publishers get an
/// error.
struct GatherGuard<'a> {
    inner: Option<&'a Inner>,
}

impl Drop for GatherGuard<'_> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner {
            inner.fail_queue();
        }
    }
}

/// The append that is in flight. If it is dropped before it completes (the runtime shuts down), its publishers and the
/// queued publishers get an error.
struct InFlight {
    inner: Arc<Inner>,
    waiters: Vec<Waiter>,
    append: BoxFuture<'static, Outcomes>,
    is_done: bool,
}

impl InFlight {
    /// Takes publishes from the queue, up to the bounds of a batch. If the queue is empty, marks that no append is in
    /// flight and returns `None`.
    fn start(inner: &Arc<Inner>) -> Option<InFlight> {
        let mut publishes = Vec::new();
        let mut waiters: Vec<Waiter> = Vec::new();
        {
            let mut queue = inner.queue();
            let mut bytes = 0;
            while let Some(group) = queue.waiting.front() {
                bytes += group.publishes.iter().map(Publish::bytes).sum::<usize>();
                let count = publishes.len() + group.publishes.len();
                if !waiters.is_empty() && (count > BATCH_PUBLISHES_MAX || bytes > BATCH_BYTES_MAX) {
                    break;
                }
                let Some(group) = queue.waiting.pop_front() else { break };
                waiters.push(group.waiter);
                publishes.extend(group.publishes);
            }
            queue.in_flight = !waiters.is_empty();
        }
        if waiters.is_empty() {
            return None;
        }
        let storage = Arc::clone(&inner.storage);
        let append = Box::pin(async move { storage.append(publishes, Timestamp::now()).await });
        Some(InFlight { inner: Arc::clone(inner), waiters, append, is_done: false })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let outcomes = std::task::ready!(self.append.as_mut().poll(cx));
        self.is_done = true;
        self.reply(outcomes);
        Poll::Ready(())
    }

    /// Completes this append, then appends the queue until it is empty.
    async fn run(self) {
        let mut current = self;
        loop {
            let started = Instant::now();
            let groups = current.waiters.len();
            let publishes = current.waiters.iter().map(|waiter| waiter.count).sum();
            std::future::poll_fn(|cx| current.poll(cx)).await;
            let inner = Arc::clone(&current.inner);
            inner.gather(groups, publishes, started.elapsed()).await;
            match InFlight::start(&inner) {
                Some(next) => current = next,
                None => return,
            }
        }
    }

    fn reply(&mut self, outcomes: Outcomes) {
        match outcomes {
            Ok(outcomes) => {
                self.inner.commits.fetch_add(1, Ordering::Relaxed);
                let mut outcomes = outcomes.into_iter();
                for Waiter { count, reply, .. } in self.waiters.drain(..) {
                    // A publisher that gave up does not receive its outcomes.
                    let _ = reply.send(Ok(outcomes.by_ref().take(count).collect()));
                }
            }
            Err(error) => {
                if matches!(error, StorageError::Failed { .. }) {
                    self.inner.failure.send_replace(Some(error.clone()));
                }
                for waiter in self.waiters.drain(..) {
                    let _ = waiter.reply.send(Err(error.clone()));
                }
            }
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        self.reply(Err(closed()));
        self.inner.fail_queue();
    }
}
