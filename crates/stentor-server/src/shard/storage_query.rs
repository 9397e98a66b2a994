//! Queries of the storage. A shard creates them; its driver runs them.

use std::sync::Arc;

use stentor_hub::storage::Budget;
use stentor_hub::{Batch, Hub, Offset, Record, StartPosition, StorageError, Subscription};

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
    /// Runs the query. It needs no access to the shard.
    pub async fn run(self) -> QueryResult {
        let StorageQuery { requester, kind, hub, mut subscription } = self;
        let output = match kind {
            QueryKind::StartPosition => {
                subscription.start_position().await.map(QueryOutput::StartPosition)
            }
            QueryKind::NextPage => {
                subscription.read_from_storage(PAGE).await.map(QueryOutput::Page)
            }
            QueryKind::Record(offset) => hub.record(offset).await.map(QueryOutput::Record),
        };
        QueryResult { requester, subscription, output }
    }
}
