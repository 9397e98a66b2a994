//! Parses a line of an export.

use std::time::Duration;

use serde::Deserialize;
use stentor_sse::Event;

use crate::form::END_EVENT;
use crate::gap::{CURSOR_EVENT, GAP_EVENT};
use crate::publish::{Entry, Publish, PublishError};
use crate::record::{Attributes, Body};
use crate::storage::sqlite::tables::record;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// A line of NDJSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A record, and its time if the line has one: an end has none.
    Record { publish: Publish, time: Option<Timestamp> },
    /// A line without a record: blank, a position, or a gap.
    NoRecord,
}

/// The members of an event or of an end.
#[derive(Debug, Deserialize)]
struct Object {
    id: Option<String>,
    topic: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    time: Option<String>,
    data: Option<String>,
    retry: Option<u64>,
    reason: Option<String>,
}

impl Line {
    /// Parses a line. The error says what is wrong with it.
    pub(super) fn parse(line: &[u8]) -> Result<Line, String> {
        if line.trim_ascii().is_empty() {
            return Ok(Line::NoRecord);
        }
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err(
                "this is not an event object such as {\"topic\":\"a\",\"data\":\"x\"}".to_owned()
            );
        }
        let object: Object = serde_json::from_slice(line).map_err(|error| not_an_object(&error))?;
        let time = object.time.as_deref().map(str::parse).transpose();
        let time = time.map_err(|error| format!("`time`: {error}"))?;
        let body = match object.event_type.as_deref() {
            Some(END_EVENT) => {
                Body::End { reason: object.reason.ok_or("an end needs its `reason`")? }
            }
            Some(CURSOR_EVENT | GAP_EVENT) if object.data.is_none() => return Ok(Line::NoRecord),
            event_type => {
                let data = object.data.ok_or("an event needs its `data`, a string")?;
                Body::Event(event(data, event_type, object.retry)?)
            }
        };
        let topic = object.topic.ok_or("an event needs its `topic`")?;
        let topic = TopicName::new(topic).map_err(|error| error.to_string())?;
        let attributes = Attributes { publisher_id: object.id };
        let entries = vec![Entry { topic, body, attributes }];
        let publish = Publish::new(entries, None);
        match publish.validate() {
            // A log from before this limit can have longer types.
            Ok(()) | Err(PublishError::TypeTooLong { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
        Ok(Line::Record { publish, time })
    }
}

fn event(data: String, event_type: Option<&str>, retry: Option<u64>) -> Result<Event, String> {
    let mut event = Event::new(data);
    if let Some(name) = event_type {
        if name.starts_with("stentor.") {
            return Err(format!("the type {name:?} is reserved for the server; rename it"));
        }
        let event_type = record::event_type(name).map_err(|error| format!("`type`: {error}"))?;
        event = event.with_type(event_type);
    }
    if let Some(retry) = retry {
        event = event.with_retry(Duration::from_millis(retry));
    }
    Ok(event)
}

/// Describes a JSON error without its line number, which is always 1.
fn not_an_object(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    format!("this is not an event object ({text}, column {})", error.column())
}
