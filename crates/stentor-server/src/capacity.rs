//! The number of connections that a server may have, and the file descriptors that it keeps for the log.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::metrics::Metrics;

/// Number of file descriptors that connections leave to the log and to other files: of its readers, backups and
/// temporary files, and of connections that are being refused. At most a quarter of those that are left at the start.
const RESERVED_FILES: usize = 64;
/// Maximum number of connections that are refused at the same time, as a part of [`RESERVED_FILES`].
const REFUSALS_MAX: usize = 16;
/// Number of open files that is assumed where the system does not list them.
const FILES_UNKNOWN: usize = 64;

/// Raises the limit of open files of this process to its hard limit (`RLIMIT_NOFILE`). Each connection is an open
/// file, and the usual limit of 1,024 allows few of them.
///
/// Call it at the start of a program that serves, but not if it uses `select`, which cannot handle descriptors above
/// 1,023. A system that refuses the change keeps the old limit.
pub fn raise_file_limit() {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limits.maximum, maximum: limits.maximum };
    if limits.current != limits.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::debug!(%error, "cannot raise the limit of open files");
    }
}

/// Marks a request over a connection beyond the maximum. It gets no stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtCapacity;

/// Decides which connections a server takes.
pub(crate) struct Capacity {
    metrics: Metrics,
    /// The maximum that the program has chosen.
    given: Option<NonZero<usize>>,
    /// Number of open files before the first connection.
    files_at_start: OnceLock<usize>,
    /// Number of open connections, one for each [`Permit`].
    open: Arc<AtomicUsize>,
    /// Number of connections that are being refused.
    refused: AtomicUsize,
}

/// The decision about a new connection.
pub(crate) enum Admission {
    Serve(Permit),
    /// All connections are in use. The client gets a response.
    Refuse(Refusal),
    /// As many clients as possible are getting one.
    Drop,
}

/// The permit of an open connection. It travels with the socket to the shard that takes it over.
#[derive(Debug)]
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that is being refused.
pub(crate) struct Refusal(Arc<Capacity>);

impl Drop for Refusal {
    fn drop(&mut self) {
        self.0.refused.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Capacity {
    pub(crate) fn new(given: Option<NonZero<usize>>, metrics: &Metrics) -> Arc<Capacity> {
        let (files_at_start, refused) = (OnceLock::new(), AtomicUsize::new(0));
        let (metrics, open) = (metrics.clone(), Arc::default());
        Arc::new(Capacity { metrics, given, files_at_start, open, refused })
    }

    /// Counts the open files, once. Call it when everything is open that does not depend on connections.
    pub(crate) fn begin(&self) {
        if self.files_at_start.set(open_files()).is_err() {
            return;
        }
        let connections = self.room().connections;
        self.metrics.connections_max.set(i64::try_from(connections).unwrap_or(i64::MAX));
        if let Some(given) = self.given
            && given.get() > connections
        {
            tracing::warn!(
                connections,
                %given,
                "the limit of open files allows fewer connections; raise it (ulimit -n)"
            );
        }
    }

    /// Decides about a connection that was just accepted.
    pub(crate) fn admit(self: &Arc<Self>) -> Admission {
        let room = self.room();
        let open = self.open.fetch_add(1, Ordering::Relaxed);
        let permit = Permit(Arc::clone(&self.open));
        if open < room.connections {
            return Admission::Serve(permit);
        }
        drop(permit);
        self.metrics.connections_refused.inc();
        let refused = self.refused.fetch_add(1, Ordering::Relaxed);
        let refusal = Refusal(Arc::clone(self));
        if refused < room.refusals { Admission::Refuse(refusal) } else { Admission::Drop }
    }

    /// Returns `true` if a new connection would be dropped.
    pub(crate) fn is_exhausted(&self) -> bool {
        let room = self.room();
        self.open.load(Ordering::Relaxed) >= room.connections
            && self.refused.load(Ordering::Relaxed) >= room.refusals
    }

    /// Returns the maximum number of connections.
    pub(crate) fn connections(&self) -> usize {
        self.room().connections
    }

    /// Returns the room for connections now. The limit of a running process can be changed, so it is read each time:
    /// one cheap system call for each connection.
    fn room(&self) -> Room {
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Room::of(limit, *self.files_at_start.get().unwrap_or(&FILES_UNKNOWN), self.given)
    }
}

/// The room that a limit of open files leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    connections: usize,
    refusals: usize,
}

impl Room {
    fn of(limit: usize, files_at_start: usize, given: Option<NonZero<usize>>) -> Room {
        let left = limit.saturating_sub(files_at_start);
        let reserved = RESERVED_FILES.min(left / 4);
        let connections = (left - reserved).max(1);
        let connections = given.map_or(connections, |given| given.get().min(connections));
        Room { connections, refusals: (reserved / 4).clamp(1, REFUSALS_MAX) }
    }
}

/// Returns the number of open files of this process.
fn open_files() -> usize {
    std::fs::read_dir("/dev/fd").map_or(FILES_UNKNOWN, Iterator::count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_log() {
        for (limit, files, given, connections, refusals) in [
            (1_024, 460, None, 500, 16),
            (1_000_000, 40, None, 999_896, 16),
            (usize::MAX, 40, NonZero::new(10), 10, 16),
            (100, 40, NonZero::new(1_000), 45, 3),
            (42, 40, None, 2, 1),
            (10, 40, None, 1, 1),
        ] {
            let room = Room { connections, refusals };
            assert_eq!(Room::of(limit, files, given), room, "{limit} {files} {given:?}");
        }
    }

    #[test]
    fn beyond_the_maximum_a_few_connections_are_refused_and_the_rest_dropped() {
        let metrics = Metrics::default();
        let capacity = Capacity::new(NonZero::new(2), &metrics);
        let first = capacity.admit();
        let second = capacity.admit();
        assert!(matches!((&first, &second), (Admission::Serve(_), Admission::Serve(_))));
        let refusals: Vec<_> = (0..REFUSALS_MAX).map(|_| capacity.admit()).collect();
        assert!(refusals.iter().all(|refusal| matches!(refusal, Admission::Refuse(_))));
        assert!(capacity.is_exhausted() && matches!(capacity.admit(), Admission::Drop));
        drop(refusals);
        assert!(!capacity.is_exhausted() && matches!(capacity.admit(), Admission::Refuse(_)));
        drop(first);
        assert!(matches!(capacity.admit(), Admission::Serve(_)));
        assert_eq!(metrics.connections_refused.get(), REFUSALS_MAX as u64 + 2);
    }
}
