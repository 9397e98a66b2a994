//! Queries of the storage. A shard creates them; its driver runs them.

use std::sync::Arc;

use stentor_hub::storage::Budget;
use stentor_hub::{Batch, Hub, Offset, Record, StartPosition, StorageError, Subscription};

use tokio::sync::oneshot;

use super::ids::{GroupId, ReaderId};

/// Maximum amount that one read of a catching-up reader returns, which is also the most that is in
/// memory for it. Larger pages make a replay faster, and delay publishers and other readers of the core.
pub(super) const PAGE: Budget = Budget { records: 64, bytes: 64 << 10, rows: 10_000 };

/// The kinds of queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueryKind {
    /// Find the position at which the stream starts.
    StartPosition,
    /// Read the next records, which are no longer in the live window.
    NextPage,
    /// Read the record at this offset, which is written in part.
    Record(Offset),
}

/// The reader or group that a query is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requester {
    Reader(ReaderId),
    Group(GroupId),
}

/// A query that a shard needs. [`run`](StorageQuery::run) it, and hand the result to the same shard
/// with [`Shard::complete`](super::Shard::complete).
pub struct StorageQuery {
    pub(super) requester: Requester,
    pub(super) kind: QueryKind,
    pub(super) hub: Hub,
    pub(super) subscription: Box<Subscription>,
    /// Completes when the guard of the query is dropped.
    pub(super) cancelled: oneshot::Receiver<()>,
}

/// Keeps a running query alive. Dropping it ends the query.
pub(super) struct QueryGuard(
    #[expect(dead_code, reason = "its drop is the signal")] oneshot::Sender<()>,
);

impl QueryGuard {
    /// Creates a guard, and the receiver for its query.
    pub(super) fn new() -> (QueryGuard, oneshot::Receiver<()>) {
        let (sender, cancelled) = oneshot::channel();
        (QueryGuard(sender), cancelled)
    }
}

/// The result of a [`StorageQuery`].
pub struct QueryResult {
    pub(super) requester: Requester,
    pub(super) subscription: Box<Subscription>,
    pub(super) output: Result<QueryOutput, StorageError>,
}

pub(super) enum QueryOutput {
    StartPosition(StartPosition),
    Page(Batch),
    /// `None` if the record was removed.
    Record(Option<Arc<Record>>),
}

impl StorageQuery {
    /// Runs the query and passes its result to `answer`, exactly once. It needs no access to the shard.
    ///
    /// If the storage panics, if the future is dropped (by a deadline, for example), or if the requester
    /// has left, the result is an error. A requester that is still there tries again later.
    pub fn run(self, answer: impl FnOnce(QueryResult)) -> impl Future<Output = ()> {
        let StorageQuery { requester, kind, hub, subscription, cancelled } = self;
        // Outside of the future, so that a future that is never polled answers, too.
        let mut pending =
            Pending { requester, subscription: Some(subscription), answer: Some(answer) };
        async move {
            let Some(subscription) = &mut pending.subscription else { return };
            let query = async {
                match kind {
                    QueryKind::StartPosition => {
                        subscription.start_position().await.map(QueryOutput::StartPosition)
                    }
                    QueryKind::NextPage => {
                        subscription.read_from_storage(PAGE).await.map(QueryOutput::Page)
                    }
                    QueryKind::Record(offset) => hub.record(offset).await.map(QueryOutput::Record),
                }
            };
            let output = tokio::select! {
                biased;
                output = query => output,
                _ = cancelled => return,
            };
            pending.answer(output);
        }
    }
}

/// A query without a result. It is answered with an error when it is dropped.
struct Pending<F: FnOnce(QueryResult)> {
    requester: Requester,
    subscription: Option<Box<Subscription>>,
    answer: Option<F>,
}

impl<F: FnOnce(QueryResult)> Pending<F> {
    fn answer(&mut self, output: Result<QueryOutput, StorageError>) {
        if let (Some(answer), Some(subscription)) = (self.answer.take(), self.subscription.take()) {
            answer(QueryResult { requester: self.requester, subscription, output });
        }
    }
}

impl<F: FnOnce(QueryResult)> Drop for Pending<F> {
    fn drop(&mut self) {
        let reason = "a query did not finish".to_owned();
        self.answer(Err(StorageError::Unavailable { reason }));
    }
}
