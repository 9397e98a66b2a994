//! Group commit: publishes that come while an append is in flight go together in the next one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::time::{Instant, timeout};

use crate::publish::Publish;
use crate::storage::{Outcome, Storage, StorageError};
use crate::timestamp::Timestamp;

/// Publishes that may wait for the log at once; more wait for room.
const WAITING_MAX: u32 = 16_384;
/// Publishes of one append.
const BATCH_PUBLISHES_MAX: usize = 4_096;
/// Bytes of one append, but for a single group that is larger.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Batches that a publisher appends for others before a task takes over.
const ROUNDS_MAX: usize = 16;
/// On a slow disk the next append waits for those who were just answered, lest half of them come too
/// late for it each time: for this part of the time that the last append took, at most so long, and
/// not at all where tokio's timer (of milliseconds) is coarser than that.
const GATHERING_PART: u32 = 4;
const GATHERING_MIN: Duration = Duration::from_millis(1);
const GATHERING_MAX: Duration = Duration::from_millis(2);
/// So many publishes share a sync well enough to wait for no more.
const GATHERED_MAX: usize = 512;

type Outcomes = Result<Vec<Outcome>, StorageError>;

/// Brings publishes to the storage, with one append in flight at a time.
///
/// A storage that never waits (memory) appends at once. With others, whoever comes first appends, and a
/// task of the calling runtime sees that through, so that a publisher who gives up hurts nobody.
#[derive(Clone)]
pub(crate) struct Committer(Arc<Inner>);

struct Inner {
    storage: Arc<dyn Storage>,
    queue: Mutex<Queue>,
    /// LossesReported when as many wait as were expected.
    gathered: Notify,
    room: Semaphore,
    failure: watch::Sender<Option<StorageError>>,
    commits: AtomicU64,
}

#[derive(Default)]
struct Queue {
    in_flight: bool,
    /// How many groups are waited for before the next append.
    expected: Option<usize>,
    waiting: std::collections::VecDeque<Group>,
}

/// What one publisher hands in at once. It goes as a whole into one append.
struct Group {
    publishes: Vec<Publish>,
    reply: oneshot::Sender<Outcomes>,
}

impl Committer {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Committer {
        Committer(Arc::new(Inner {
            storage,
            queue: Mutex::default(),
            gathered: Notify::new(),
            room: Semaphore::new(WAITING_MAX as usize),
            failure: watch::Sender::new(None),
            commits: AtomicU64::new(0),
        }))
    }

    /// Appends a publish here and now, or hands it back: if the storage may have to wait, or if an
    /// append is in flight.
    #[expect(clippy::result_large_err, reason = "what was handed in comes back")]
    pub(crate) fn commit_now(&self, publish: Publish) -> Result<Outcome, Publish> {
        // Held meanwhile, for one append is in flight at a time; this one takes no longer than to
        // queue up and be woken.
        let queue = self.0.queue();
        if queue.in_flight {
            return Err(publish);
        }
        let outcome = self.0.storage.append_now(publish, Timestamp::now())?;
        self.0.commits.fetch_add(1, Ordering::Relaxed);
        Ok(outcome)
    }

    /// Appends publishes, in order, together with what others hand in at the same time.
    pub(crate) async fn commit(&self, mut publishes: Vec<Publish>) -> Outcomes {
        if let Some(first) = publishes.first_mut() {
            // The one before it in the batch may be somebody else's.
            first.requires_previous = false;
        }
        let permits = u32::try_from(publishes.len()).unwrap_or(u32::MAX).min(WAITING_MAX);
        let _room = self.0.room.acquire_many(permits).await.map_err(|_| closed())?;
        let (reply, outcomes) = oneshot::channel();
        let group = Group { publishes, reply };
        let first = {
            let mut queue = self.0.queue();
            queue.waiting.push_back(group);
            if queue.expected.is_some_and(|expected| queue.waiting.len() >= expected) {
                self.0.gathered.notify_one();
            }
            !std::mem::replace(&mut queue.in_flight, true)
        };
        if first {
            self.append_waiting();
        }
        outcomes.await.unwrap_or_else(|_| Err(closed()))
    }

    /// How many appends succeeded.
    pub(crate) fn commits(&self) -> u64 {
        self.0.commits.load(Ordering::Relaxed)
    }

    /// Waits until the storage has failed for good, and says how.
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

    /// Appends what waits: here while the storage answers at once, else in a task.
    fn append_waiting(&self) {
        for _ in 0..ROUNDS_MAX {
            let Some(mut flight) = Flight::take_off(&self.0) else { return };
            if flight.poll(&mut Context::from_waker(Waker::noop())).is_pending() {
                tokio::spawn(flight.see_through());
                return;
            }
        }
        if let Some(flight) = Flight::take_off(&self.0) {
            tokio::spawn(flight.see_through());
        }
    }
}

fn closed() -> StorageError {
    StorageError::Unavailable { reason: "the hub is closing".to_owned() }
}

impl Inner {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits a moment for publishers to come back who were answered by an append that took so long.
    /// Whoever publishes alone is not waited for.
    async fn gather(&self, answered: usize, publishes: usize, took: Duration) {
        let time = (took / GATHERING_PART).min(GATHERING_MAX);
        if time < GATHERING_MIN || publishes > GATHERED_MAX {
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
        let mut pause = Pause { abandons: Some(self) };
        let gathered = async {
            while self.queue().waiting.len() < expected {
                self.gathered.notified().await;
            }
        };
        // Late or not, what has come by then is taken.
        let _ = timeout(time, gathered).await;
        pause.abandons = None;
        self.queue().expected = None;
    }

    /// Nobody will append what waits.
    fn abandon(&self) {
        let mut queue = self.queue();
        queue.in_flight = false;
        queue.expected = None;
        for group in queue.waiting.drain(..) {
            let _ = group.reply.send(Err(closed()));
        }
    }
}

/// The time between two appends. Dropped within it (a runtime shuts down), those who wait are told.
struct Pause<'a> {
    abandons: Option<&'a Inner>,
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        if let Some(inner) = self.abandons {
            inner.abandon();
        }
    }
}

/// The append that is in flight. Dropped early (a runtime shuts down), it answers its publishers
/// with an error and lets the next one take off.
struct Flight {
    inner: Arc<Inner>,
    groups: Vec<(usize, oneshot::Sender<Outcomes>)>,
    append: BoxFuture<'static, Outcomes>,
    landed: bool,
}

impl Flight {
    /// Takes what waits, up to the bounds of a batch; with nothing waiting, nothing is in flight.
    fn take_off(inner: &Arc<Inner>) -> Option<Flight> {
        let mut publishes = Vec::new();
        let mut groups = Vec::new();
        {
            let mut queue = inner.queue();
            let mut bytes = 0;
            while let Some(group) = queue.waiting.front() {
                bytes += group.publishes.iter().map(Publish::bytes).sum::<usize>();
                let count = publishes.len() + group.publishes.len();
                if !groups.is_empty() && (count > BATCH_PUBLISHES_MAX || bytes > BATCH_BYTES_MAX) {
                    break;
                }
                let Some(group) = queue.waiting.pop_front() else { break };
                groups.push((group.publishes.len(), group.reply));
                publishes.extend(group.publishes);
            }
            queue.in_flight = !groups.is_empty();
        }
        if groups.is_empty() {
            return None;
        }
        let storage = Arc::clone(&inner.storage);
        let append = Box::pin(async move { storage.append(publishes, Timestamp::now()).await });
        Some(Flight { inner: Arc::clone(inner), groups, append, landed: false })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let outcomes = std::task::ready!(self.append.as_mut().poll(cx));
        self.landed = true;
        self.answer(outcomes);
        Poll::Ready(())
    }

    /// Waits for this append, and makes the ones that gather behind it.
    async fn see_through(self) {
        let mut flight = self;
        loop {
            let begun = Instant::now();
            let groups = flight.groups.len();
            let publishes = flight.groups.iter().map(|(count, _)| count).sum();
            std::future::poll_fn(|cx| flight.poll(cx)).await;
            let inner = Arc::clone(&flight.inner);
            inner.gather(groups, publishes, begun.elapsed()).await;
            match Flight::take_off(&inner) {
                Some(next) => flight = next,
                None => return,
            }
        }
    }

    fn answer(&mut self, outcomes: Outcomes) {
        match outcomes {
            Ok(outcomes) => {
                self.inner.commits.fetch_add(1, Ordering::Relaxed);
                let mut outcomes = outcomes.into_iter();
                for (count, reply) in self.groups.drain(..) {
                    // A publisher that left does not hear what became of its events.
                    let _ = reply.send(Ok(outcomes.by_ref().take(count).collect()));
                }
            }
            Err(error) => {
                if matches!(error, StorageError::Failed { .. }) {
                    self.inner.failure.send_replace(Some(error.clone()));
                }
                for (_, reply) in self.groups.drain(..) {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        self.answer(Err(closed()));
        // Nobody else would: those who wait behind it are told the same.
        self.inner.abandon();
    }
}
