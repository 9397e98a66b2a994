//! Events of the source that are published together.

use std::collections::VecDeque;

use stentor_client::{Event, EventId, EventType};

use super::key::{key_of, key_of_event};
use crate::commands::publish::retry::new_key;

/// Maximum number of events in a batch; then the source waits.
const EVENTS_MAX: usize = 1_000;

/// Maximum number of data bytes in a batch. A single event can be larger.
const BYTES_MAX: usize = 1 << 20;

/// Events that are published together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    events: VecDeque<Relayed>,
    bytes: usize,
}

/// An event with its key.
#[derive(Debug)]
struct Relayed {
    key: String,
    event: Event,
    /// The id in the source; `None` once the key depends on more than the id.
    id: Option<String>,
}

impl Batch {
    pub(super) fn has_room(&self) -> bool {
        self.events.len() < EVENTS_MAX && self.bytes < BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Adds an event. Without an id it gets a random key.
    pub(super) fn push(&mut self, event: Event) {
        let id = event.id().map(EventId::to_string).filter(|id| !id.is_empty());
        let key = id.as_deref().map_or_else(new_key, key_of);
        self.bytes += event.data().len();
        self.events.push_back(Relayed { key, event: bare(event), id });
    }

    /// Returns the keys in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.events.iter().map(|relayed| relayed.key.as_str())
    }

    /// Drops the first `count` events.
    pub(super) fn drop_first(&mut self, count: usize) {
        self.events.drain(..count.min(self.events.len()));
    }

    /// Gives the first event a key made from its id, type and data: the source used its id twice. Returns
    /// `false` if it already has such a key.
    pub(super) fn rekey_first(&mut self) -> bool {
        let Some(first) = self.events.front_mut() else { return false };
        let Some(id) = first.id.take() else { return false };
        first.key = key_of_event(&id, &first.event);
        true
    }

    /// Encodes the events as a stream, each with its key as the id.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut stream = Vec::with_capacity(self.bytes);
        for Relayed { key, event, .. } in &self.events {
            // Always valid: keys are visible ASCII.
            if let Ok(id) = EventId::new(key.as_str()) {
                event.encode_with_id(&id, &mut stream);
            }
        }
        stream
    }
}

/// Returns the event with type and data only; the rest belongs to the connection to the source. A type can
/// be received with NUL, but cannot be sent with it.
fn bare(event: Event) -> Event {
    let event_type = event.event_type().map(|name| name.as_str().replace('\0', "\u{FFFD}"));
    let bare = Event::new(event.into_data());
    match event_type.and_then(|name| EventType::new(name).ok()) {
        Some(event_type) => bare.with_type(event_type),
        None => bare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &str) -> Event {
        Event::new(data).with_id(EventId::new("1").unwrap())
    }

    #[test]
    fn a_batch_is_bounded_in_events_and_in_bytes() {
        let mut batch = Batch::default();
        for _ in 0..EVENTS_MAX {
            assert!(batch.has_room());
            batch.push(event(""));
        }
        assert!(!batch.has_room());
        let mut batch = Batch::default();
        batch.push(event(&"x".repeat(BYTES_MAX)));
        assert!(!batch.has_room());
    }

    #[test]
    fn only_type_and_data_are_published_with_a_key() {
        let mut batch = Batch::default();
        let full = event("a\nb").with_type(EventType::new("tick").unwrap());
        batch.push(full.with_retry(std::time::Duration::from_secs(1)));
        batch.push(Event::new("c"));
        let stream = String::from_utf8(batch.encode()).unwrap();
        let (first, second) = stream.split_once("\n\n").unwrap();
        assert_eq!(first, "id: 1\nevent: tick\ndata: a\ndata: b");
        assert!(second.starts_with("id: ") && second.ends_with("\ndata: c\n\n"), "{second}");
    }

    #[test]
    fn an_event_gets_another_key_only_once() {
        let mut batch = Batch::default();
        batch.push(event("a"));
        assert!(batch.rekey_first());
        assert!(batch.encode().starts_with(b"id: sha256:"));
        assert!(!batch.rekey_first());
        batch.drop_first(5);
        assert!(batch.is_empty() && !batch.rekey_first());
    }
}
