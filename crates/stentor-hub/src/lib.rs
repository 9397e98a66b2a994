//! Topics as logs, subscribers as cursors: the hub of the Stentor event server.
//!
//! A publish appends a record to the log and moves the log's tail. Every subscription reads from its own cursor
//! to the tail. Catch-up after a reconnect and live delivery are one loop over one log, so there is no seam where
//! an event could be lost, duplicated or reordered.
//!
//! ```
//! use stentor_hub::{Filters, Hub, Start, Subscribed, TopicName};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::memory();
//! let news = TopicName::new("news")?;
//! hub.send(&news, "hello").await?;
//!
//! let filters = Filters::topic(news);
//! let Subscribed::Open(mut reader) = hub.subscribe(filters, Start::Earliest).await? else { return Ok(()) };
//! let batch = reader.next().await?.unwrap_or_default();
//! assert_eq!(batch.records[0].event().map(|event| event.data()), Some("hello"));
//! # Ok(())
//! # }
//! ```
//!
//! The path of one event through this crate, file by file:
//!
//! 1. [`Publish`] (`publish.rs`) is passed to [`Hub::publish`] (`hub.rs`).
//! 2. Group commit (`commit.rs`) calls [`Storage::append`](storage::Storage::append) (`storage/`), which makes it a
//!    [`Record`] at an [`Offset`].
//! 3. The live window (`storage/live_window.rs`) stores the record and the [`Consumer`]s of its topic are woken
//!    (`interest.rs`, `consumer.rs`).
//! 4. Each [`Subscription`] reads from its [`Cursor`] and sends the record's frame in one [`Form`], which is encoded
//!    once.

mod backoff;
mod commit;
mod consumer;
mod cursor;
mod filter;
mod form;
mod gap;
mod history;
mod hub;
mod interest;
mod key;
mod large_records;
mod lease;
mod publish;
mod query_cache;
mod reader_queries;
mod record;
mod retention;
mod shared;
mod start;
pub mod storage;
mod subscription;
mod timestamp;
mod topic;
mod uptime;

pub use stentor_sse::{Event, EventType, Frame};

pub use crate::commit::NotReady;
pub use crate::consumer::Consumer;
pub use crate::cursor::{Check, Cursor, CursorError, Epoch, Offset};
pub use crate::filter::{Filters, FiltersError, Pattern, TopicFilter};
pub use crate::form::{END_EVENT, EventObject, Form};
pub use crate::gap::{CURSOR_EVENT, GAP_EVENT, Gap, GapReason};
pub use crate::history::{HistoryError, HistoryPage, HistoryRequest};
pub use crate::hub::{Hub, Subscribed};
pub use crate::key::{Key, KeyContent, KeyLimits, KeySource, TooManyKeys};
pub use crate::lease::{LEASES_MAX, LeaseChange, PRODUCER_LOST};
pub use crate::publish::{
    EVENT_BYTES_MAX, EVENT_TYPE_BYTES_MAX, Entry, FRAME_BYTES_MAX, Publish, PublishError, Published,
};
pub use crate::record::{Attributes, Body, END_REASON_BYTES_MAX, Record};
pub use crate::retention::{Retention, RetentionError, TopicLimits};
pub use crate::start::{Start, SubscribeError};
pub use crate::storage::{MemoryStorage, StorageError, TopicInfo, TopicsQuery};
pub use crate::subscription::{Batch, LossesReported, StartPosition, Subscription, TryRead};
pub use crate::timestamp::{Timestamp, TimestampError};
pub use crate::topic::{TopicError, TopicName};
