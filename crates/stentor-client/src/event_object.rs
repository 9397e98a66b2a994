//! Events as JSON objects.

use serde::{Deserialize, Serialize};
use stentor_sse::{Event, EventType};

/// A JSON event object, as in a stream with `envelope=json` and in the history of a Stentor server.
///
/// Fields that a plain stream does not contain are `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventObject {
    /// The id of the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The type of the event; `message` if it has none.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Time of publication, in RFC 3339 format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The data, exactly as published. From a plain stream, every line break is LF.
    pub data: String,
    /// The reconnection time set by the event, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<u64>,
}

impl EventObject {
    /// Parses the data of an event from a stream with `envelope=json`. Returns `None` if it is not an event object.
    pub fn from_envelope(event: &Event) -> Option<EventObject> {
        serde_json::from_str(event.data()).ok()
    }

    /// Converts an event of a plain stream.
    ///
    /// `last_event_id` is the last event id of the stream at this event
    /// ([`EventSource::last_event_id`](crate::EventSource::last_event_id)). It may be the id of an earlier event. Empty
    /// means none.
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
    fn an_envelope_is_parsed_and_written_unchanged() {
        let json = r#"{"id":"c1","topic":"news","type":"tick","time":"2026-01-02T03:04:05Z","data":"a\r\nb","retry":5}"#;
        let object = EventObject::from_envelope(&Event::new(json)).unwrap();
        assert_eq!(object.data, "a\r\nb");
        assert_eq!(serde_json::to_string(&object).unwrap(), json);
    }

    #[test]
    fn a_plain_event_has_no_other_fields() {
        let object = EventObject::from_plain(Event::new("x"), "");
        assert_eq!(serde_json::to_string(&object).unwrap(), r#"{"type":"message","data":"x"}"#);
        let object = EventObject::from_plain(Event::new("x"), "7");
        assert_eq!(object.id.as_deref(), Some("7"));
    }

    #[test]
    fn other_data_is_not_an_envelope() {
        for data in ["1", "{}", "not json", r#"{"type":"x"}"#] {
            assert_eq!(EventObject::from_envelope(&Event::new(data)), None, "{data}");
        }
    }
}
