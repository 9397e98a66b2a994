//! What a storage remembers of idempotency keys.

use crate::cursor::Cursor;
use crate::topic::TopicName;

/// A hash of published content: 16 bytes of SHA-256.
pub type KeyHash = [u8; 16];

/// What is remembered of each part of an upload, see [`part_hash`].
pub type PartHash = u64;

/// The part of a running hash by which a repeated part of an upload is compared: its first 8 bytes.
pub fn part_hash(hash: &KeyHash) -> PartHash {
    hash.iter().take(8).fold(0, |first, byte| (first << 8) | PartHash::from(*byte))
}

/// A key without its content.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName {
    /// The topic, or `None` for a batch.
    pub scope: Option<TopicName>,
    /// Who publishes.
    pub publisher: String,
    /// The key that the publisher chose.
    pub name: String,
    /// Whether it stands for a streamed upload: those have rows of their own kind.
    pub upload: bool,
}

/// How far a streamed upload came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// How many of its events are in the log.
    pub count: u64,
    /// The running hash of these.
    pub hash: KeyHash,
    /// The id of the first one.
    pub first: Cursor,
    /// The id of the last one.
    pub last: Cursor,
}
