use std::time::Duration;

use crate::encode::{encode_data, encode_field, whole_millis};
use crate::field::{EventId, EventType};

/// An event: data, and optionally a type, an id and a reconnection time.
///
/// Any text is valid data. The wire format cannot express CR inside data: a CR or CRLF arrives as LF.
///
/// ```
/// use stentor_sse::{Event, EventId, EventType};
///
/// let event = Event::new("21.5")
///     .with_type(EventType::new("temperature")?)
///     .with_id(EventId::new("7")?);
/// let mut wire = Vec::new();
/// event.encode(&mut wire);
/// assert_eq!(wire, b"id: 7\nevent: temperature\ndata: 21.5\n\n");
/// # Ok::<(), stentor_sse::FieldError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_field_names, reason = "`type` is a keyword")]
pub struct Event {
    event_type: Option<EventType>,
    data: String,
    /// `None` if all its fields are, as in most events of a log.
    rare: Option<Box<Rare>>,
}

/// The fields that few events in memory have. In a box, so that the others are smaller.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Rare {
    id: Option<EventId>,
    retry: Option<Duration>,
}

impl Event {
    /// Creates an event with only data. Its type is `message`.
    pub fn new(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// Creates an event from the fields of a decoded block.
    pub(crate) fn of_block(
        event_type: Option<EventType>,
        data: String,
        id: Option<EventId>,
        retry: Option<Duration>,
    ) -> Self {
        let event_type = event_type.filter(|event_type| event_type.as_str() != "message");
        Self { event_type, data, rare: Rare { id, retry }.boxed() }
    }

    /// Sets the type. `message` is the default type, so it is stored as no type.
    #[must_use]
    pub fn with_type(mut self, event_type: EventType) -> Self {
        self.event_type = Some(event_type).filter(|event_type| event_type.as_str() != "message");
        self
    }

    /// Sets the id. Clients keep it as their last event id. A hub refuses events with an id, because its log gives each
    /// event one.
    #[must_use]
    pub fn with_id(mut self, id: EventId) -> Self {
        self.rare.get_or_insert_default().id = Some(id);
        self
    }

    /// Removes the id, for a log that gives events ids of its own.
    #[must_use]
    pub fn without_id(mut self) -> Self {
        self.rare = self.rare.and_then(|rare| Rare { id: None, ..*rare }.boxed());
        self
    }

    /// Sets the reconnection time, in whole milliseconds. A fraction of a millisecond is dropped.
    #[must_use]
    pub fn with_retry(mut self, retry: Duration) -> Self {
        self.rare.get_or_insert_default().retry = Some(Duration::from_millis(whole_millis(retry)));
        self
    }

    /// Returns the type; `None` means `message`.
    pub fn event_type(&self) -> Option<&EventType> {
        self.event_type.as_ref()
    }

    /// Returns the data.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// Returns the id of this event; `None` leaves the client's last event id unchanged.
    pub fn id(&self) -> Option<&EventId> {
        self.rare.as_ref()?.id.as_ref()
    }

    /// Returns the reconnection time, in whole milliseconds.
    pub fn retry(&self) -> Option<Duration> {
        self.rare.as_ref()?.retry
    }

    /// Returns the data without a copy.
    pub fn into_data(self) -> String {
        self.data
    }

    /// Appends the event as one block: id, type, retry, one `data:` line for each line of the data (one for empty
    /// data), and the blank line that ends the block.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_block(self.id(), out);
    }

    /// Appends the event like [`encode`](Self::encode), but with the given id instead of its own.
    ///
    /// For a log, in which the id is the position of the record and not a part of the event.
    pub fn encode_with_id(&self, id: &EventId, out: &mut Vec<u8>) {
        self.encode_block(Some(id), out);
    }

    fn encode_block(&self, id: Option<&EventId>, out: &mut Vec<u8>) {
        /// Size of a block with one line of data, without the values of its fields, but with the longest retry.
        const MARKUP: usize = "id: \nevent: \nretry: 18446744073709551615\ndata: \n\n".len();

        let id = id.map(EventId::as_str);
        let event_type = self.event_type().map(EventType::as_str);
        let values = [id, event_type, Some(self.data())];
        out.reserve(MARKUP + values.iter().flatten().map(|value| value.len()).sum::<usize>());

        if let Some(id) = id {
            encode_field(out, "id", id);
        }
        if let Some(event_type) = event_type {
            encode_field(out, "event", event_type);
        }
        if let Some(retry) = self.retry() {
            encode_field(out, "retry", &whole_millis(retry).to_string());
        }
        encode_data(out, &self.data);
        out.push(b'\n');
    }
}

impl Rare {
    fn boxed(self) -> Option<Box<Rare>> {
        (self != Rare::default()).then(|| Box::new(self))
    }
}
