//! Coalesces equal queries: while a query runs, callers with an equal query wait for its result.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_core::future::BoxFuture;
use futures_util::future::{FutureExt, Shared, WeakShared};

use crate::cursor::Offset;
use crate::storage::StorageError;

/// Maximum number of entries, running or cached. Beyond that limit, callers query the storage directly.
const ENTRIES_MAX: usize = 4_096;
/// Maximum number of cached results.
const CACHED_MAX: usize = 1_024;

/// Queries of one kind. Equal queries that run at the same time are sent to the storage once. The newest results are
/// cached too, because many readers that reconnect after a restart do not all arrive at the same instant.
///
/// Each entry remembers the state of the log when its query started. A caller decides if a result from that state is
/// fresh enough; see `reader_queries.rs`. An error is returned to all callers that wait for it and is not cached. A
/// caller can give up at any time. When the last caller gives up, the query is dropped.
pub(crate) struct QueryCache<Q, R>(Arc<Mutex<Table<Q, R>>>);

/// The state of the log when a query started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogState {
    /// All records up to here were in the log.
    pub(crate) tail: Offset,
    /// Count of trims and deletions. It grows each time records are removed.
    pub(crate) losses: u64,
}

struct Table<Q, R> {
    entries: HashMap<Q, Entry<R>>,
    /// The queries with cached results and the numbers of their entries, oldest first.
    cached: VecDeque<(Q, u64)>,
    /// Memory of the cached results, in bytes.
    bytes: usize,
    bytes_max: usize,
    weigh: Weigh<Q, R>,
    /// Number of queries so far.
    count: u64,
}

/// Returns the memory of a result in bytes, or `None` if it is not worth caching.
type Weigh<Q, R> = fn(&Q, &R) -> Option<usize>;

struct Entry<R> {
    number: u64,
    started_at: LogState,
    state: State<R>,
}

enum State<R> {
    /// The callers that wait keep the query alive.
    Running(WeakShared<Running<R>>),
    Cached {
        result: R,
        bytes: usize,
    },
}

type Running<R> = BoxFuture<'static, Result<R, StorageError>>;

/// A usable entry.
enum Found<R> {
    Cached(R),
    Running(Shared<Running<R>>),
}

impl<Q, R> QueryCache<Q, R>
where
    Q: Clone + Eq + Hash + Send + 'static,
    R: Clone + Send + Sync + 'static,
{
    /// Creates a cache for at most `bytes_max` bytes of results.
    pub(crate) fn new(bytes_max: usize, weigh: Weigh<Q, R>) -> QueryCache<Q, R> {
        QueryCache(Arc::new(Mutex::new(Table {
            entries: HashMap::new(),
            cached: VecDeque::new(),
            bytes: 0,
            bytes_max,
            weigh,
            count: 0,
        })))
    }

    /// Returns the result of a query. Uses an entry if `is_fresh` accepts the state of the log at its start;
    /// otherwise runs `fetch`, which queries the storage.
    pub(crate) async fn get(
        &self,
        query: Q,
        now: LogState,
        is_fresh: impl FnOnce(LogState) -> bool,
        fetch: impl Future<Output = Result<R, StorageError>> + Send + 'static,
    ) -> Result<R, StorageError> {
        let found = lock(&self.0).find(&query, is_fresh);
        let running = match found {
            Some(Found::Cached(result)) => return Ok(result),
            Some(Found::Running(running)) => running,
            None => self.start(query, now, fetch),
        };
        running.await
    }

    fn start(
        &self,
        query: Q,
        started_at: LogState,
        fetch: impl Future<Output = Result<R, StorageError>> + Send + 'static,
    ) -> Shared<Running<R>> {
        let mut table = lock(&self.0);
        table.count += 1;
        let number = table.count;
        let guard = RunningGuard { table: Arc::clone(&self.0), query: query.clone(), number };
        let running = async move {
            let result = fetch.await;
            if let Ok(result) = &result {
                guard.cache(result);
            }
            result
        };
        let running = running.boxed().shared();
        if table.entries.len() < ENTRIES_MAX
            && let Some(weak) = running.downgrade()
        {
            table.insert(query, Entry { number, started_at, state: State::Running(weak) });
        }
        running
    }
}

impl<Q: Clone + Eq + Hash, R: Clone> Table<Q, R> {
    fn find(&self, query: &Q, is_fresh: impl FnOnce(LogState) -> bool) -> Option<Found<R>> {
        let entry = self.entries.get(query)?;
        if !is_fresh(entry.started_at) {
            return None;
        }
        match &entry.state {
            State::Cached { result, .. } => Some(Found::Cached(result.clone())),
            State::Running(running) => running.upgrade().map(Found::Running),
        }
    }

    fn cache(&mut self, query: &Q, number: u64, result: &R) {
        let Some(bytes) = (self.weigh)(query, result) else { return };
        let Some(entry) = self.entries.get_mut(query).filter(|entry| entry.number == number) else {
            return;
        };
        if bytes > self.bytes_max {
            return;
        }
        entry.state = State::Cached { result: result.clone(), bytes };
        self.bytes += bytes;
        self.cached.push_back((query.clone(), number));
        while self.bytes > self.bytes_max || self.cached.len() > CACHED_MAX {
            let Some((oldest, number)) = self.cached.pop_front() else { return };
            self.remove(&oldest, number);
        }
    }

    fn insert(&mut self, query: Q, entry: Entry<R>) {
        let replaced = self.entries.insert(query, entry);
        self.bytes -= replaced.map_or(0, |entry| entry.bytes());
    }

    /// Removes an entry, unless a newer query has replaced it.
    fn remove(&mut self, query: &Q, number: u64) {
        if self.entries.get(query).is_some_and(|entry| entry.number == number) {
            self.bytes -= self.entries.remove(query).map_or(0, |entry| entry.bytes());
        }
    }
}

impl<R> Entry<R> {
    fn bytes(&self) -> usize {
        if let State::Cached { bytes, .. } = self.state { bytes } else { 0 }
    }
}

/// Removes the entry of a running query when it ends without a cached result: by an error, by a result that is not
/// cached, or because all callers gave up.
struct RunningGuard<Q: Clone + Eq + Hash, R: Clone> {
    table: Arc<Mutex<Table<Q, R>>>,
    query: Q,
    number: u64,
}

impl<Q: Clone + Eq + Hash, R: Clone> RunningGuard<Q, R> {
    fn cache(&self, result: &R) {
        lock(&self.table).cache(&self.query, self.number, result);
    }
}

impl<Q: Clone + Eq + Hash, R: Clone> Drop for RunningGuard<Q, R> {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        let entry = table.entries.get(&self.query);
        if entry.is_some_and(|entry| matches!(entry.state, State::Running(_))) {
            table.remove(&self.query, self.number);
        }
    }
}

fn lock<Q, R>(table: &Mutex<Table<Q, R>>) -> MutexGuard<'_, Table<Q, R>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}
