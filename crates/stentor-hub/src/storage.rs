//! Storages: the trait [`Storage`], the log in memory, and the log on disk.
//!
//! The storage keeps records, the hub delivers them, and the server writes sockets. A storage knows nothing of
//! subscribers: it answers queries about a log. One conformance suite (feature `testing`) tests every
//! implementation against the contract in the documentation of [`Storage`].

mod clock;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod contract;
pub(crate) mod error;
mod forgotten;
mod live_window;
mod memory;
mod page_builder;
mod query;
pub(crate) mod result;
mod ring;
#[cfg(feature = "sqlite")]
mod sqlite;
mod trim_point;

pub use self::clock::{ClockJump, LogTime};
pub use self::contract::{Commit, CommitSink, Storage};
pub use self::error::StorageError;
#[doc(hidden)]
pub use self::live_window::LiveWindow;
pub use self::memory::MemoryStorage;
pub use self::query::{Budget, ReadRequest, Seek, TopicsQuery, TrimLimits};
pub use self::result::{
    Bounds, Damaged, Outcome, Page, QueryCounts, Removed, SeekResult, TopicInfo, TopicState,
    Trimmed,
};
#[cfg(feature = "sqlite")]
pub use self::sqlite::{
    BackedUp, DroppedWal, Durability, Export, ExportFrom, Exported, Finding, Imported, LogInfo,
    RepairOptions, Repaired, SqliteLog, SqliteOpenError, SqliteOptions, SqliteStorage, TimeSet,
    ToolError, VerifyNote,
};
pub use crate::key::{KeyHash, KeyName, PartHash, StoredKey, part_hash};
