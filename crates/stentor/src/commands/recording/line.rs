//! The lines of a recording.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use http::header::SET_COOKIE;
use serde::{Deserialize, Serialize};
use stentor_client::{Event, EventId, EventObject, EventType, Item, ResponseHead};

/// Version of the format that is written. Newer versions are refused.
const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    recording: u32,
    /// URL of the stream, without a password.
    pub(super) url: String,
    /// Start of the recording, RFC 3339.
    pub(super) started: String,
}

impl Head {
    pub(super) fn new(url: String, started: String) -> Head {
        Head { recording: VERSION, url, started }
    }

    pub(super) fn read(line: &[u8]) -> anyhow::Result<Head> {
        let head: Head = serde_json::from_slice(line).ok().context(
            "not a recording made by `stentor record`: its first line is not a recording header",
        )?;
        if head.recording > VERSION {
            bail!(
                "the recording has version {}, but this program reads up to version {VERSION}; use a newer \
                 one",
                head.recording
            );
        }
        Ok(head)
    }
}

/// Every other line: an entry and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    /// Milliseconds since the start.
    pub(super) at: u64,
    #[serde(flatten)]
    pub(super) entry: Entry,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// The stream was opened, for the first time or after a loss.
    Open(Open),
    /// The connection was lost, for this reason.
    Lost(String),
    Comment(String),
    /// A reconnection time in milliseconds, in a block without data.
    Retry(u64),
    /// The id of a block without data.
    Id(String),
    Event(EventObject),
}

/// The response that opened the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Open {
    /// The `Last-Event-ID` of the request.
    #[serde(skip_serializing_if = "String::is_empty")]
    last_event_id: String,
    status: u16,
    headers: BTreeMap<String, String>,
}

impl Open {
    pub(super) fn of(head: &ResponseHead, last_event_id: String) -> Open {
        let mut headers = BTreeMap::new();
        // A cookie can be a credential, and recordings are shared.
        for (name, value) in head.headers.iter().filter(|(name, _)| *name != SET_COOKIE) {
            let value = String::from_utf8_lossy(value.as_bytes());
            headers
                .entry(name.to_string())
                .and_modify(|all: &mut String| *all = format!("{all}, {value}"))
                .or_insert_with(|| value.to_string());
        }
        Open { last_event_id, status: head.status.as_u16(), headers }
    }
}

impl Line {
    pub(super) fn read(line: &[u8]) -> anyhow::Result<Line> {
        let line: Line = serde_json::from_slice(line).ok().context("not a line of a recording")?;
        line.entry.check()?;
        Ok(line)
    }

    /// Time of the entry, after the start.
    pub(super) fn at(&self) -> Duration {
        Duration::from_millis(self.at)
    }
}

impl Entry {
    /// Returns the event id that this entry sets.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Entry::Id(id) => Some(id),
            Entry::Event(event) => event.id.as_deref(),
            _ => None,
        }
    }

    /// Returns the item of a stream; `None` for an entry about the connection.
    pub(super) fn item(&self) -> anyhow::Result<Option<Item>> {
        Ok(Some(match self {
            Entry::Open(_) | Entry::Lost(_) => return Ok(None),
            Entry::Comment(text) => Item::Comment(text.clone()),
            Entry::Retry(millis) => Item::Retry(Duration::from_millis(*millis)),
            Entry::Id(id) => Item::Id(EventId::new(id.as_str())?),
            Entry::Event(object) => Item::Event(event(object)?),
        }))
    }

    /// Fails if a stream cannot contain this entry.
    fn check(&self) -> anyhow::Result<()> {
        self.item().map(drop)
    }
}

impl From<Item> for Entry {
    fn from(item: Item) -> Entry {
        match item {
            Item::Event(event) => Entry::Event(EventObject {
                id: event.id().map(EventId::to_string),
                ..EventObject::from_plain(event, "")
            }),
            Item::Comment(text) => Entry::Comment(text),
            Item::Retry(time) => Entry::Retry(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            Item::Id(id) => Entry::Id(id.to_string()),
        }
    }
}

/// Converts the object to an event. A type can be received with NUL, but cannot be sent with it.
fn event(object: &EventObject) -> anyhow::Result<Event> {
    let event_type = EventType::new(object.event_type.replace('\0', "\u{FFFD}"))?;
    let mut event = Event::new(&object.data).with_type(event_type);
    if let Some(id) = &object.id {
        event = event.with_id(EventId::new(id.as_str())?);
    }
    if let Some(millis) = object.retry {
        event = event.with_retry(Duration::from_millis(millis));
    }
    Ok(event)
}
