//! The simulated storage. Its content survives restarts, and each of its operations is delayed, reordered or made to
//! fail by the simulator.

mod steps;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use fastrand::Rng;
use futures_util::FutureExt;
use stentor_hub::storage::{Commit, CommitSink, Outcome, ReadRequest, Storage};
use stentor_hub::{
    Filters, LeaseChange, MemoryStorage, Offset, Publish, Record, StorageError, Timestamp,
    TopicName,
};
use tokio::sync::oneshot;

use crate::counts::Counts;
use crate::faults::Faults;
use crate::lock::lock;
use crate::pending::{Kind, Pending};

/// The disk of a simulated server. Clones share it.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Inner>);

struct Inner {
    log: MemoryStorage,
    /// Changes of `log` that are not in `State::unfed` yet.
    appended: Arc<Mutex<Vec<Change>>>,
    state: Mutex<State>,
}

struct State {
    rng: Rng,
    faults: Faults,
    counts: Counts,
    pending: Vec<Pending>,
    /// Durable changes that the commit sink does not have yet.
    unfed: VecDeque<Change>,
    /// Number of changes that were ever in `unfed`.
    applied: u64,
    /// The commit sink has everything up to here.
    fed: Offset,
    /// Number of the hub that uses the disk. Operations of earlier hubs fail.
    generation: u64,
    sink: Option<Arc<CommitSink>>,
    failure: Option<StorageError>,
    /// Wakes `Storage::failed`.
    on_failure: Vec<oneshot::Sender<StorageError>>,
    burned: Vec<(Offset, Offset)>,
    next_id: u64,
}

/// A record, with the changes of leases that belong to it. The changes of a transaction come with its last record.
#[derive(Default)]
struct Change {
    record: Option<Arc<Record>>,
    leases: Vec<LeaseChange>,
}

/// An action of the disk, for the trace.
pub(crate) struct DiskAction {
    /// The action.
    pub(crate) name: &'static str,
    /// The number of the operation.
    pub(crate) id: u64,
    /// The operation.
    pub(crate) kind: Kind,
}

impl Disk {
    /// Creates an empty disk that holds at most about `bytes_max` bytes of records.
    pub(crate) fn new(bytes_max: usize, faults: Faults, rng: Rng) -> Disk {
        let log = MemoryStorage::with_bytes(bytes_max);
        let appended = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&appended);
        log.follow(Box::new(move |commit: Commit<'_>| {
            let mut changes = lock(&sink);
            let records = commit.records.iter().cloned();
            changes
                .extend(records.map(|record| Change { record: Some(record), leases: Vec::new() }));
            if commit.records.is_empty() {
                changes.push(Change::default());
            }
            if let Some(last) = changes.last_mut() {
                last.leases.extend_from_slice(commit.leases);
            }
        }));
        let state = State {
            rng,
            faults,
            counts: Counts::default(),
            pending: Vec::new(),
            unfed: VecDeque::new(),
            applied: 0,
            fed: Offset::ZERO,
            generation: 0,
            sink: None,
            failure: None,
            on_failure: Vec::new(),
            burned: Vec::new(),
            next_id: 0,
        };
        Disk(Arc::new(Inner { log, appended, state: Mutex::new(state) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// The log.
    pub(crate) fn log(&self) -> &MemoryStorage {
        &self.0.log
    }

    /// The generation of the hub that uses the disk, its tail and its burned ranges.
    pub(crate) fn open(&self) -> (u64, Offset, Vec<(Offset, Offset)>) {
        let mut state = self.state();
        state.generation += 1;
        (state.generation, state.fed, state.burned.clone())
    }

    pub(crate) fn set_sink(&self, sink: CommitSink) {
        self.state().sink = Some(Arc::new(sink));
    }

    pub(crate) fn fed(&self) -> Offset {
        self.state().fed
    }

    /// Ends all faults and delays.
    pub(crate) fn calm_down(&self) {
        let mut state = self.state();
        state.faults = Faults::none();
        for pending in &mut state.pending {
            pending.held_until = None;
        }
    }

    /// Takes the counts of what happened since the last call.
    pub(crate) fn take_counts(&self) -> Counts {
        std::mem::take(&mut self.state().counts)
    }

    /// Starts an operation. It is completed at once or by later calls of [`Disk::step`].
    pub(crate) fn submit<T: Send + 'static>(
        &self,
        generation: u64,
        kind: Kind,
        work: impl FnOnce(&MemoryStorage, Offset) -> T + Send + 'static,
    ) -> oneshot::Receiver<Result<T, StorageError>> {
        let (id, is_instant, is_stale) = {
            let mut state = self.state();
            state.next_id += 1;
            let chance = if kind.is_write() {
                state.faults.instant_write
            } else {
                state.faults.instant_query
            };
            let is_instant = state.rng.u8(0..100) < chance && !state.has_writes();
            let is_stale = !kind.is_write() && state.rng.bool();
            (state.next_id, is_instant, is_stale)
        };
        let (mut pending, result) = Pending::new(id, kind, work);
        if !kind.is_write() {
            self.state().counts.add("storage read");
        }
        if let Some(error) = self.refusal(generation, kind) {
            pending.finish(Err(error));
        } else if is_instant {
            self.apply(&mut pending);
            self.feed(usize::MAX);
            pending.finish(Ok(()));
        } else {
            if is_stale {
                // The result is that of now, and the caller gets it later.
                self.state().counts.add("query stale");
                self.apply(&mut pending);
            }
            self.state().pending.push(pending);
        }
        result
    }

    /// The error for an operation of a server that was killed, or of a write after the log has failed.
    fn refusal(&self, generation: u64, kind: Kind) -> Option<StorageError> {
        let state = self.state();
        if state.generation != generation {
            return Some(unavailable("the server was killed"));
        }
        state.failure.clone().filter(|_| kind.is_write())
    }

    /// Appends at once, as a log in memory does. `None` if other writes are under way.
    pub(crate) fn append_now(
        &self,
        generation: u64,
        publish: Publish,
        now: Timestamp,
    ) -> Result<Outcome, Box<Publish>> {
        {
            let state = self.state();
            let is_free = state.pending.iter().all(|pending| !pending.kind.is_write())
                && state.unfed.is_empty()
                && state.failure.is_none();
            if !is_free || !state.faults.in_memory || state.generation != generation {
                return Err(Box::new(publish));
            }
        }
        let outcome = self.0.log.append_now(publish, now).map_err(Box::new);
        self.take_appended();
        self.feed(usize::MAX);
        outcome
    }

    /// Appends a publish of another node.
    pub(crate) fn append_foreign(&self, publish: Publish, now: Timestamp) -> Option<Outcome> {
        let mut outcomes = self.0.log.append(vec![publish], now).now_or_never()?.ok()?;
        self.take_appended();
        self.state().counts.add("foreign append");
        outcomes.pop()
    }

    fn apply(&self, pending: &mut Pending) {
        // Bound to a variable, so that the lock is not held while the operation runs.
        let fed = self.fed();
        pending.apply(&self.0.log, fed);
        self.take_appended();
        pending.through = self.state().applied;
    }

    fn take_appended(&self) {
        let appended = std::mem::take(&mut *lock(&self.0.appended));
        let mut state = self.state();
        state.applied += appended.len() as u64;
        state.unfed.extend(appended);
    }

    /// Passes at most `count` changes to the commit sink, in one call.
    fn feed(&self, count: usize) {
        let (mut records, mut leases) = (Vec::new(), Vec::new());
        let sink = {
            let mut state = self.state();
            let count = count.min(state.unfed.len());
            for change in state.unfed.drain(..count) {
                records.extend(change.record);
                leases.extend(change.leases);
            }
            state.sink.clone()
        };
        if let Some(sink) = sink
            && !(records.is_empty() && leases.is_empty())
        {
            sink(Commit { records: &records, leases: &leases });
        }
        if let Some(last) = records.last() {
            self.state().fed = last.offset();
        }
    }

    /// Ends the server that uses the disk. Operations under way are done or not; some offsets may be burned.
    pub(crate) fn crash(&self, may_burn: bool) {
        let mut pending = std::mem::take(&mut self.state().pending);
        pending.retain(|pending| pending.kind.is_write() && !pending.is_applied());
        pending.sort_by_key(|pending| pending.id);
        for mut write in pending {
            if self.state().rng.bool() {
                break;
            }
            self.apply(&mut write);
        }
        let mut state = self.state();
        state.generation += 1;
        state.sink = None;
        state.failure = None;
        state.on_failure.clear();
        state.unfed.clear();
        if may_burn && state.rng.bool() {
            let count = state.rng.u64(1..50);
            let range = self.0.log.burn(count);
            state.burned.push(range);
            state.counts.add("offsets burned");
        }
        state.fed = self.0.log.bounds().tail;
    }

    /// Waits until the log has failed.
    pub(crate) fn failed(&self) -> oneshot::Receiver<StorageError> {
        let (sender, failed) = oneshot::channel();
        let mut state = self.state();
        match state.failure.clone() {
            Some(error) => drop(sender.send(error)),
            None => state.on_failure.push(sender),
        }
        failed
    }

    /// Returns `true` if no write is under way and the commit sink has all records.
    pub(crate) fn is_settled(&self) -> bool {
        let state = self.state();
        state.unfed.is_empty() && !state.has_writes()
    }

    /// All records that are left, by offset.
    pub(crate) fn records(&self) -> Vec<Arc<Record>> {
        let Ok(all) = "**".parse().map(|filter| Filters::new([filter])) else { return Vec::new() };
        let Ok(filters) = all.map(Arc::new) else { return Vec::new() };
        let (mut records, mut after) = (Vec::new(), Offset::ZERO);
        loop {
            let request = ReadRequest {
                filters: Arc::clone(&filters),
                after,
                until: Offset::MAX,
                budget: stentor_hub::storage::Budget::default(),
                losses_reported: u64::MAX,
            };
            let Some(Ok(page)) = self.0.log.read(request).now_or_never() else { return records };
            records.extend(page.records);
            if page.through == after || page.through >= self.0.log.bounds().tail {
                return records;
            }
            after = page.through;
        }
    }

    /// Returns `true` if the topic has an end or no events.
    pub(crate) fn has_ended(&self, topic: &TopicName) -> bool {
        let states = self.0.log.states(vec![topic.clone()]).now_or_never();
        let state = states.and_then(Result::ok).and_then(|mut states| states.pop());
        state.is_none_or(|state| state.end.is_some() || state.events == 0)
    }
}

impl State {
    fn has_writes(&self) -> bool {
        self.pending.iter().any(|pending| pending.kind.is_write())
    }
}

pub(crate) fn unavailable(reason: &str) -> StorageError {
    StorageError::Unavailable { reason: reason.to_owned() }
}
