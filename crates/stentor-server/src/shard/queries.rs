//! The storage queries of readers and groups: they wait, run in the driver, and are tried again when
//! they fail.
//!
//! A reader or group has at most one query. It is dropped when the reader leaves, or the last reader of
//! the group. While the log cannot be read, streams stay open and get keep-alives. Only a log that has
//! failed for good ends them.

use std::time::Duration;

use stentor_hub::StorageError;
use tokio::time::Instant;

use super::catch_up::{Step, StorageWait, Watching};
use super::ids::{GroupId, ReaderId};
use super::state::{Shard, Timer};
use super::storage_query::{
    QueryGuard, QueryKind, QueryOutput, QueryResult, Requester, StorageQuery,
};
use super::transport::Transport;

/// Maximum number of storage queries that run at once. Further ones wait.
const QUERIES_MAX: usize = 32;
/// Minimum time between two log lines about reads that fail.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

impl<T: Transport> Shard<T> {
    /// Returns the next storage query to run. `None` if none is needed now, or if 32 are running.
    pub fn next_query(&mut self) -> Option<StorageQuery> {
        while self.running.len() < QUERIES_MAX {
            let (requester, kind) = self.queries.pop_front()?;
            if let Some(query) = self.start_query(requester, kind) {
                return Some(query);
            }
        }
        None
    }

    /// Takes the result of a storage query.
    pub fn complete(&mut self, result: QueryResult, now: Instant) {
        let is_wanted = self.cancel_query(result.requester);
        if let Err(error) = &result.output
            && is_wanted
        {
            self.log_failure(error, now);
        }
        match result.requester {
            Requester::Reader(id) => self.complete_reader(id, result, now),
            Requester::Group(id) if is_wanted => self.complete_group(id, result, now),
            Requester::Group(id) => self.retry(Requester::Group(id)),
        }
    }

    /// Drops the running query of a requester, which has its result or does not need it. Returns `false`
    /// if there is none.
    pub(super) fn cancel_query(&mut self, requester: Requester) -> bool {
        let index = self.running.iter().position(|(running, _)| *running == requester);
        index.is_some_and(|index| {
            self.running.swap_remove(index);
            true
        })
    }

    /// Queues a query for a reader. Until it is answered, the reader gets keep-alives.
    pub(super) fn query_for_reader(&mut self, id: ReaderId, kind: QueryKind, now: Instant) {
        self.watch(id, Watching::Input);
        let Some(reader) = self.catch_up_mut(id) else { return };
        reader.waits = StorageWait::Query;
        // It does not wait for room in its socket.
        reader.stalled_since = None;
        if let Some(keep_alive) = reader.keep_alive_due(now) {
            self.set_check_timer(id, keep_alive, now);
        }
        self.queue_query(Requester::Reader(id), kind);
    }

    /// Queues a query for a group whose next records are no longer in the live window.
    pub(super) fn query_for_group(&mut self, index: usize) {
        let Some(group) = self.groups.get_mut(index) else { return };
        if std::mem::replace(&mut group.querying, true) {
            return;
        }
        let id = group.id(index);
        self.queue_query(Requester::Group(id), QueryKind::NextPage);
    }

    fn queue_query(&mut self, requester: Requester, kind: QueryKind) {
        // Entries of requesters that have left are skipped when it is their turn. Here they are dropped
        // if they are the majority, so that a storage that hangs lets no queue grow.
        const SPARE: usize = 64;
        if self.queries.len() >= SPARE + 2 * (self.readers.len() + self.groups.len()) {
            let mut queries = std::mem::take(&mut self.queries);
            queries.retain(|(requester, _)| match *requester {
                Requester::Reader(id) => self.catch_up_mut(id).is_some(),
                Requester::Group(id) => self.index_of(id).is_some(),
            });
            self.queries = queries;
        }
        self.queries.push_back((requester, kind));
    }

    /// Takes what a query needs from its requester. `None` if the requester does not wait for it.
    fn start_query(&mut self, requester: Requester, kind: QueryKind) -> Option<StorageQuery> {
        let (hub, subscription) = match requester {
            Requester::Reader(id) => {
                let reader = self.catch_up_mut(id)?;
                if reader.waits != StorageWait::Query {
                    return None;
                }
                (reader.stentor.hub().clone(), reader.subscription.take()?)
            }
            Requester::Group(id) => {
                let index = self.index_of(id)?;
                let group = self.groups.get_mut(index).filter(|group| group.closing.is_none())?;
                if group.readers.is_empty() {
                    group.querying = false;
                    return None;
                }
                let losses = group.subscription.losses_reported();
                let fork = group.subscription.fork(group.position(), losses, []);
                // The group counts its readers itself.
                fork.set_readers(0);
                (group.stentor.hub().clone(), Box::new(fork))
            }
        };
        let (guard, cancelled) = QueryGuard::new();
        self.running.push((requester, guard));
        Some(StorageQuery { requester, kind, hub, subscription, cancelled })
    }

    fn complete_reader(&mut self, id: ReaderId, result: QueryResult, now: Instant) {
        // The reader may have left while the query ran.
        let Some(reader) = self.catch_up_mut(id) else { return };
        let before = reader.held_bytes();
        reader.subscription = Some(result.subscription);
        reader.waits = StorageWait::None;
        match result.output {
            // Its last words are on their way. It resumes after its last event when it reconnects.
            _ if reader.can_close() => {}
            Ok(output) => {
                reader.backoff.reset();
                match output {
                    QueryOutput::StartPosition(start) => reader.take_start(&start),
                    QueryOutput::Page(batch) => reader.take_batch(batch),
                    QueryOutput::Record(Some(record)) => reader.take_partial_record(record),
                    QueryOutput::Record(None) => {
                        // The reader reconnects with its last id and gets the gap.
                        tracing::debug!(
                            "interrupted a stream: an event was removed while it was sent"
                        );
                        return self.remove(id);
                    }
                }
            }
            Err(StorageError::Failed { .. }) => return self.remove(id),
            Err(_) => {
                reader.waits = StorageWait::Retry;
                let pause = reader.backoff.pause();
                self.timers.add_after(now, pause, Timer::Retry(Requester::Reader(id)));
            }
        }
        let after = self.catch_up_mut(id).map_or(before, |reader| reader.held_bytes());
        self.held_bytes = self.held_bytes + after - before;
        self.queue_reader(id);
    }

    fn complete_group(&mut self, id: GroupId, result: QueryResult, now: Instant) {
        let Some(index) = self.index_of(id) else { return };
        let Some(group) = self.groups.get_mut(index) else { return };
        match result.output {
            Ok(output) => {
                group.querying = false;
                group.backoff.reset();
                if let QueryOutput::Page(batch) = output
                    && group.closing.is_none()
                {
                    group.take_page(*result.subscription, batch, now);
                }
            }
            Err(StorageError::Failed { .. }) => {
                group.querying = false;
                return self.interrupt_group(index);
            }
            Err(_) => {
                let pause = group.backoff.pause();
                self.timers.add_after(now, pause, Timer::Retry(Requester::Group(id)));
            }
        }
        self.count_held(index);
        self.queue_group(index);
    }

    /// Ends the pause after a failed query. The requester tries again.
    pub(super) fn retry(&mut self, requester: Requester) {
        match requester {
            Requester::Reader(id) => {
                if let Some(reader) = self.catch_up_mut(id)
                    && reader.waits == StorageWait::Retry
                {
                    reader.waits = StorageWait::None;
                    self.queue_reader(id);
                }
            }
            Requester::Group(id) => {
                let Some(index) = self.index_of(id) else { return };
                if let Some(group) = self.groups.get_mut(index) {
                    group.querying = false;
                }
                self.queue_group(index);
            }
        }
    }

    /// Writes to a reader that waits for the storage: a keep-alive if one is due. Returns `false` if its
    /// connection is broken.
    pub(super) fn write_while_waiting(&mut self, id: ReaderId, now: Instant) -> bool {
        let Some(reader) = self.catch_up_mut(id) else { return false };
        let before = reader.held_bytes();
        let step = reader.write_while_waiting(now);
        let after = reader.held_bytes();
        self.held_bytes = self.held_bytes + after - before;
        !matches!(step, Some(Step::Gone))
    }

    fn log_failure(&mut self, error: &StorageError, now: Instant) {
        if self.failure_logged.is_some_and(|at| now.saturating_duration_since(at) < LOG_INTERVAL) {
            return;
        }
        self.failure_logged = Some(now);
        if matches!(error, StorageError::Failed { .. }) {
            tracing::error!(%error, "interrupting streams that need the log");
        } else {
            tracing::warn!(%error, "a read of the log failed; its streams stay open and it is tried again");
        }
    }
}
