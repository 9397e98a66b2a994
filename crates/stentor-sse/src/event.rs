use std::time::Duration;

use crate::encode::{encode_data, encode_field, whole_millis};
use crate::{EventId, EventType};

/// What travels the wire: data and, each optional, a type, an id and a reconnection time.
///
/// Any text is valid data. The wire knows no CR: a CR or CRLF in the data arrives as LF.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_field_names, reason = "`type` alone is a keyword")]
pub struct Event {
    event_type: Option<EventType>,
    data: String,
    id: Option<EventId>,
    retry: Option<Duration>,
}

impl Event {
    /// An event of the type `message` that has only data.
    pub fn new(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// The event that a block came to.
    pub(crate) fn of_block(
        event_type: Option<EventType>,
        data: String,
        id: Option<EventId>,
        retry: Option<Duration>,
    ) -> Self {
        let event_type = event_type.filter(|event_type| event_type.as_str() != "message");
        Self { event_type, data, id, retry }
    }

    /// The event with this type. `message` is what an event without a type is, so it becomes that.
    #[must_use]
    pub fn with_type(mut self, event_type: EventType) -> Self {
        self.event_type = Some(event_type).filter(|event_type| event_type.as_str() != "message");
        self
    }

    /// The event with this id, which a reader keeps as its last event id.
    #[must_use]
    pub fn with_id(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    /// The event with this reconnection time, in whole milliseconds: what is finer is cut off.
    #[must_use]
    pub fn with_retry(mut self, retry: Duration) -> Self {
        self.retry = Some(Duration::from_millis(whole_millis(retry)));
        self
    }

    /// The type; `None` means `message`.
    pub fn event_type(&self) -> Option<&EventType> {
        self.event_type.as_ref()
    }

    /// The data.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// The id that this event itself carries; `None` leaves a reader's last event id as it is.
    pub fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// How long a reader is to wait before it reconnects, in whole milliseconds.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// The data, without a copy.
    pub fn into_data(self) -> String {
        self.data
    }

    /// Appends the event as one block: id, type, retry, a `data:` line for each line of the data
    /// (also for an empty one), and the blank line that makes a reader dispatch it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_block(self.id.as_ref(), out);
    }

    /// Appends the event as [`encode`](Self::encode) does, under another id than its own. For a log,
    /// where the id is the place of the record and not a part of the event.
    pub fn encode_with_id(&self, id: &EventId, out: &mut Vec<u8>) {
        self.encode_block(Some(id), out);
    }

    fn encode_block(&self, id: Option<&EventId>, out: &mut Vec<u8>) {
        /// All that one block with one line of data holds besides its values, and a full retry.
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
        if let Some(retry) = self.retry {
            encode_field(out, "retry", &whole_millis(retry).to_string());
        }
        encode_data(out, &self.data);
        out.push(b'\n');
    }
}
