//! Events that are published together.

use bytes::Bytes;
use serde::Serialize;
use stentor_sse::{Event, EventType};

/// Events for one or more topics that are published atomically, with [`Publisher::batch`](crate::Publisher::batch).
///
/// A server accepts at most 10,000 events and 16 MiB per batch.
///
/// ```
/// use stentor_client::{Batch, Event, EventType};
///
/// let mut batch = Batch::new().with_idempotency_key("order-7-paid");
/// batch.push("orders/7", Event::new("paid"));
/// batch.push("mail", Event::new("7").with_type(EventType::new("receipt")?));
///
/// let each: Batch = (0..3).map(|n| (format!("sensors/{n}"), Event::new("off"))).collect();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Batch {
    events: Vec<(String, Event)>,
    key: Option<String>,
}

impl Batch {
    /// Creates an empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds an event for a topic. The log assigns ids, so an id of the event is ignored.
    pub fn push(&mut self, topic: impl Into<String>, event: Event) {
        self.events.push((topic.into(), event));
    }

    /// Sets the idempotency key of the whole batch: 1 to 256 visible ASCII characters (default: a generated key).
    ///
    /// Keys of batches are separate from those of single publishes, and do not depend on the topics. See
    /// [`Publish::with_idempotency_key`](crate::Publish::with_idempotency_key).
    pub fn with_idempotency_key(mut self, key: impl Into<String>) -> Batch {
        self.key = Some(key.into());
        self
    }

    /// Returns the request body and the key.
    pub(crate) fn into_parts(self) -> (Bytes, Option<String>) {
        let body = encode_batch(self.events.iter().map(|(topic, event)| BatchItem {
            topic,
            data: event.data(),
            event_type: event.event_type().map(EventType::as_str),
            retry: event.retry().map(|retry| retry.as_millis()),
        }));
        (body, self.key)
    }
}

impl<T: Into<String>> FromIterator<(T, Event)> for Batch {
    fn from_iter<I: IntoIterator<Item = (T, Event)>>(events: I) -> Batch {
        let events = events.into_iter().map(|(topic, event)| (topic.into(), event)).collect();
        Batch { events, key: None }
    }
}

impl<T: Into<String>> Extend<(T, Event)> for Batch {
    fn extend<I: IntoIterator<Item = (T, Event)>>(&mut self, events: I) {
        self.events.extend(events.into_iter().map(|(topic, event)| (topic.into(), event)));
    }
}

/// JSON form of an event in a batch.
#[derive(Serialize)]
pub(crate) struct BatchItem<'a> {
    pub(crate) topic: &'a str,
    pub(crate) data: &'a str,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) event_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry: Option<u128>,
}

/// Encodes events as a JSON array. It contains only texts and numbers, so the encoding cannot fail.
pub(crate) fn encode_batch<'a>(items: impl Iterator<Item = BatchItem<'a>>) -> Bytes {
    let items: Vec<_> = items.collect();
    serde_json::to_vec(&items).unwrap_or_default().into()
}
