//! Idempotency keys for the events of another source.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use stentor_client::Event;

/// Maximum length of a key in bytes, as the server limits it.
const KEY_BYTES_MAX: usize = 256;

/// Returns the key for an id: the id itself, or its hash if it is empty, too long or not visible ASCII.
pub(super) fn key_of(id: &str) -> String {
    let is_visible = id.bytes().all(|byte| byte.is_ascii_graphic());
    let is_key = is_visible && (1..=KEY_BYTES_MAX).contains(&id.len());
    if is_key { id.to_owned() } else { hashed([id]) }
}

/// Returns the key of an event that shares its id with another event: a hash of id, type and data.
pub(super) fn key_of_event(id: &str, event: &Event) -> String {
    let event_type = event.event_type().map_or("", |event_type| event_type.as_str());
    hashed([id, event_type, event.data()])
}

fn hashed<const N: usize>(parts: [&str; N]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut key = "sha256:".to_owned();
    for byte in hash.finalize() {
        let _ = write!(key, "{byte:02x}");
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_own_key_if_it_can_be_one() {
        assert_eq!(key_of("18mk_11:9"), "18mk_11:9");
        assert_eq!(key_of(&"x".repeat(256)), "x".repeat(256));
    }

    #[test]
    fn any_other_id_has_a_distinct_key_that_never_changes() {
        let ids = ["a b", "ü", "\u{1}", "", &"x".repeat(257), &"x".repeat(258)];
        let mut keys = ids.map(key_of);
        assert!(keys.iter().all(|key| key.len() == 71 && key_of(key) == *key));
        assert_eq!(keys[0], key_of("a b"));
        keys.sort();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "{keys:?}");
    }

    #[test]
    fn events_that_share_an_id_have_different_keys() {
        let key = |id, data: &str| key_of_event(id, &Event::new(data));
        assert_eq!(key("1", "a"), key("1", "a"));
        assert_ne!(key("1", "a"), key("1", "b"));
        assert_ne!(key("1", "a"), key("1a", ""));
    }
}
