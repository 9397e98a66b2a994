//! Idempotency keys: they make a repeated publish harmless.

mod limits;
mod source;

use std::time::Duration;

#[cfg(feature = "sqlite")]
pub(crate) use self::limits::KeyBound;
pub(crate) use self::limits::KeyCount;
pub use self::limits::{KeyLimits, TooManyKeys};
pub use self::source::KeySource;
use crate::cursor::Cursor;
use crate::storage::result::Outcome;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// An idempotency key with the hash of its content.
///
/// A publish is a repeat if scope, publisher and name are those of a publish within the key's window. The kinds and the
/// hashes must then be equal too; otherwise the key was reused for other content. An upload and a whole publish are
/// different kinds.
///
/// The key of a batch over several topics is taken in each of these topics, and a key that is taken in one of its
/// topics is taken for the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The topic, or `None` for a batch with several topics.
    pub scope: Option<TopicName>,
    /// The identity of the publisher; empty if publishers are not distinguished.
    pub publisher: String,
    /// The key that the publisher chose.
    pub name: String,
    /// Time for which the key is remembered after its publish. For an upload, each part and each repeat of a part
    /// restarts this time.
    pub window: Duration,
    /// The address of the publisher, if it is known. It counts towards [`KeyLimits::keys_per_address`].
    pub source: Option<KeySource>,
    /// The content that is published with the key.
    pub content: KeyContent,
}

/// The content that is published with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyContent {
    /// A whole publish.
    Whole(KeyHash),
    /// One event of an upload. It is appended only if all events of the upload before it are stored and it is not.
    Part {
        /// Number of events of the upload before this one.
        index: u64,
        /// The running hash of the events before this one.
        before: KeyHash,
        /// The running hash including this event.
        after: KeyHash,
    },
}

/// A hash of published content: the first 16 bytes of a SHA-256.
pub type KeyHash = [u8; 16];

/// The hash that is stored for each part of an upload, see [`part_hash`].
pub type PartHash = u64;

/// A key without its content: the identity by which a storage finds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName {
    /// The topic, or `None` for a batch.
    pub scope: Option<TopicName>,
    /// The identity of the publisher.
    pub publisher: String,
    /// The key that the publisher chose.
    pub name: String,
}

/// The content that a storage remembers for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// `true` for the key of an upload.
    pub upload: bool,
    /// Number of publishes: parts for an upload, otherwise 1.
    pub count: u64,
    /// The hash of the content; for an upload, the running hash of its parts.
    pub hash: KeyHash,
    /// The id of the first record.
    pub first: Cursor,
    /// The id of the last record.
    pub last: Cursor,
}

/// Returns the part of a running hash that is stored to compare a repeated part of an upload: its first 8 bytes.
pub fn part_hash(hash: &KeyHash) -> PartHash {
    hash.iter().take(8).fold(0, |first, byte| (first << 8) | PartHash::from(*byte))
}

impl Key {
    /// The key without its content.
    pub fn to_name(&self) -> KeyName {
        KeyName {
            scope: self.scope.clone(),
            publisher: self.publisher.clone(),
            name: self.name.clone(),
        }
    }

    /// Returns `true` for the key of an upload.
    pub fn is_of_upload(&self) -> bool {
        matches!(self.content, KeyContent::Part { .. })
    }

    /// Returns the outcome of a publish with this key, or `None` if it is to be appended. Every storage uses this
    /// rule.
    ///
    /// `stored` is the content that is remembered for [`Key::to_name`]. `part` is the stored hash of the part with
    /// the same index. A storage bounds the number of part hashes, so the hash may be missing. The part then counts
    /// as a repeat. If its content differs, a later part whose hash is still stored shows it, because a running hash
    /// covers all parts before it.
    pub fn check(&self, stored: Option<StoredKey>, part: Option<PartHash>) -> Option<Outcome> {
        let settle = |is_equal: bool, stored: StoredKey| {
            let repeat = Outcome::Repeat { first: stored.first, last: stored.last };
            if is_equal { repeat } else { Outcome::KeyReused }
        };
        match (&self.content, stored) {
            (_, Some(stored)) if stored.upload != self.is_of_upload() => Some(Outcome::KeyReused),
            (KeyContent::Whole(hash), Some(stored)) => Some(settle(*hash == stored.hash, stored)),
            (KeyContent::Part { index, after, .. }, Some(stored)) if *index < stored.count => {
                let is_equal = match part {
                    Some(part) => part == part_hash(after),
                    None => index + 1 < stored.count || *after == stored.hash,
                };
                Some(settle(is_equal, stored))
            }
            (KeyContent::Part { index, before, .. }, Some(stored))
                if *index == stored.count && *before == stored.hash =>
            {
                None
            }
            (KeyContent::Whole(_) | KeyContent::Part { index: 0, .. }, None) => None,
            (KeyContent::Part { .. }, _) => Some(Outcome::KeyReused),
        }
    }

    /// Returns the outcome of a publish whose key is not stored in its own scope, but in the scope of a batch that
    /// shares a topic with it: a repeat if both have the same content. Every storage uses this rule.
    pub fn check_overlap(&self, stored: StoredKey) -> Outcome {
        match &self.content {
            KeyContent::Whole(hash) if !stored.upload && *hash == stored.hash => {
                Outcome::Repeat { first: stored.first, last: stored.last }
            }
            KeyContent::Whole(_) | KeyContent::Part { .. } => Outcome::KeyReused,
        }
    }

    /// Returns the new expiry of a stored key after a repeat at `now`, or `None` if its expiry does not change.
    ///
    /// Only repeats of parts of an upload restart the window, and only after 1/64 of it has passed, so that frequent
    /// repeats rarely write.
    pub fn renewed_expiry(&self, expires: Timestamp, now: Timestamp) -> Option<Timestamp> {
        /// Number of steps that a window is divided into.
        const STEPS: u32 = 64;
        let renewed = now.plus(self.window);
        let is_part = matches!(self.content, KeyContent::Part { .. });
        (is_part && renewed >= expires.plus(self.window / STEPS)).then_some(renewed)
    }
}
