//! `Idempotency-Key`: what makes a repeated publish harmless.

use http::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};
use stentor_hub::storage::KeyHash;
use stentor_hub::{Body, Entry};

use crate::problem::Problem;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 256;

/// The key of a request: 1 to 256 visible ASCII characters. Empty is absent.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        let detail = "a request has one Idempotency-Key; send each event with its own";
        return Err(Problem::invalid_key(detail));
    }
    let Some(key) = checked(value.as_bytes()) else {
        let detail = "an Idempotency-Key has at most 256 visible ASCII characters; use a UUID, say";
        return Err(Problem::invalid_key(detail));
    };
    Ok(Some(key).filter(|key| !key.is_empty()))
}

/// A key that is fit to be one.
pub(crate) fn checked(bytes: &[u8]) -> Option<String> {
    let visible = bytes.len() <= KEY_BYTES_MAX && bytes.iter().all(u8::is_ascii_graphic);
    visible.then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// The hash of what a publish holds. Two publishes under one key must agree in it.
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
    short(hash)
}

/// The running hash of an upload with one more event.
pub(crate) fn chain(before: KeyHash, entries: &[Entry]) -> KeyHash {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(hash_of(entries));
    short(hash)
}

/// With its length, so that no two lists of fields are alike.
fn put(hash: &mut Sha256, field: &[u8]) {
    hash.update((field.len() as u64).to_le_bytes());
    hash.update(field);
}

fn short(hash: Sha256) -> KeyHash {
    let mut short = KeyHash::default();
    for (to, from) in short.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    short
}
