//! An event as JSON.

use serde::{Deserialize, Serialize};
use stentor_sse::{Event, EventType};

/// The event object of a Stentor server: what a stream with `envelope=json` holds as data, and the
/// same as in its history. What a plain stream does not tell is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventObject {
    /// The event's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The event's name, `message` when it has none.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it was published, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The data, every byte as published; from a plain stream with LF for every line break.
    pub data: String,
    /// The reconnection time that it asks for, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<u64>,
}

impl EventObject {
    /// The object that the data of an event in an envelope is; `None` if it is no such object.
    pub fn from_envelope(event: &Event) -> Option<EventObject> {
        serde_json::from_str(event.data()).ok()
    }

    /// What a plain stream tells of an event. Its id is the last event id of the stream, which an
    /// event without one of its own has from those before it
    /// ([`EventSource::last_event_id`](crate::EventSource::last_event_id)); empty means none.
    pub fn from_plain(event: Event, last_event_id: &str) -> EventObject {
        let millis =
            |retry: std::time::Duration| u64::try_from(retry.as_millis()).unwrap_or(u64::MAX);
        EventObject {
            id: Some(last_event_id).filter(|id| !id.is_empty()).map(str::to_owned),
            topic: None,
            event_type: event.event_type().map_or("message", EventType::as_str).to_owned(),
            time: None,
            retry: event.retry().map(millis),
            data: event.into_data(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_goes_in_and_out_unchanged() {
        let json = r#"{"id":"c1","topic":"news","type":"tick","time":"2026-01-02T03:04:05Z","data":"a\r\nb","retry":5}"#;
        let object = EventObject::from_envelope(&Event::new(json)).unwrap();
        assert_eq!(object.data, "a\r\nb");
        assert_eq!(serde_json::to_string(&object).unwrap(), json);
    }

    #[test]
    fn a_plain_event_has_what_it_has() {
        let object = EventObject::from_plain(Event::new("x"), "");
        assert_eq!(serde_json::to_string(&object).unwrap(), r#"{"type":"message","data":"x"}"#);
        let object = EventObject::from_plain(Event::new("x"), "7");
        assert_eq!(object.id.as_deref(), Some("7"));
    }

    #[test]
    fn other_json_is_no_envelope() {
        for data in ["1", "{}", "not json", r#"{"type":"x"}"#] {
            assert_eq!(EventObject::from_envelope(&Event::new(data)), None, "{data}");
        }
    }
}
