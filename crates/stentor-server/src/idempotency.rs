//! The `Idempotency-Key` header, which makes a repeated publish harmless.

use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use stentor_hub::storage::KeyHash;
use stentor_hub::{Body, Entry};

use crate::problem::{Code, Problem};

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Maximum length of a key, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// Returns the key of a request: 1 to 256 visible ASCII characters. An empty header counts as absent.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        let detail = "the request has several Idempotency-Key headers; send one";
        return Err(Problem::of(Code::Key, detail));
    }
    let Some(key) = valid_key(value.as_bytes()) else {
        let detail = "the Idempotency-Key is not valid; use at most 256 visible ASCII characters, such as a UUID";
        return Err(Problem::of(Code::Key, detail));
    };
    Ok(Some(key).filter(|key| !key.is_empty()))
}

/// Returns the bytes as a key, `None` if they are too long or not visible ASCII.
pub(crate) fn valid_key(bytes: &[u8]) -> Option<String> {
    let visible = bytes.len() <= KEY_BYTES_MAX && bytes.iter().all(u8::is_ascii_graphic);
    visible.then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// Hashes the content of a publish. Publishes under one key must have equal hashes.
pub(crate) fn hash_of(entries: &[Entry]) -> KeyHash {
    let mut hash = Sha256::new();
    for entry in entries {
        put(&mut hash, entry.topic.as_str().as_bytes());
        match &entry.body {
            Body::Event(event) => {
                put(&mut hash, b"event");
                put(&mut hash, event.event_type().map_or("", |name| name.as_str()).as_bytes());
                let retry = event.retry().map_or(u128::MAX, |retry| retry.as_millis());
                put(&mut hash, &retry.to_le_bytes());
                put(&mut hash, event.data().as_bytes());
            }
            Body::End { reason } => {
                put(&mut hash, b"end");
                put(&mut hash, reason.as_bytes());
            }
            Body::Deleted => put(&mut hash, b"deleted"),
        }
    }
    truncated(hash)
}

/// Extends the running hash of an upload by one event.
pub(crate) fn extend_hash(before: KeyHash, entries: &[Entry]) -> KeyHash {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(hash_of(entries));
    truncated(hash)
}

/// Hashes the length of a field and then the field, so that different lists of fields never become the
/// same input.
fn put(hash: &mut Sha256, field: &[u8]) {
    hash.update((field.len() as u64).to_le_bytes());
    hash.update(field);
}

fn truncated(hash: Sha256) -> KeyHash {
    let mut short = KeyHash::default();
    for (to, from) in short.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    short
}
