//! The lines of a recording.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use http::header::SET_COOKIE;
use serde::{Deserialize, Serialize};
use stentor_client::{Event, EventId, EventObject, EventType, Item, ResponseHead as Answer};

/// The version of the format that is written, and the newest that is read.
const VERSION: u32 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    recording: u32,
    /// Where the stream is, without a password.
    pub(super) url: String,
    /// When the recording began, RFC 3339.
    pub(super) started: String,
}

impl Head {
    pub(super) fn new(url: String, started: String) -> Head {
        Head { recording: VERSION, url, started }
    }

    pub(super) fn read(line: &[u8]) -> anyhow::Result<Head> {
        let head: Head = serde_json::from_slice(line)
            .context("it is no recording: its first line is not that of `stentor record`")?;
        if head.recording > VERSION {
            bail!("it is of version {}, and this program reads {VERSION}", head.recording);
        }
        Ok(head)
    }
}

/// Every other line: what came, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Line {
    /// Milliseconds since the start.
    pub(super) at: u64,
    #[serde(flatten)]
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// The stream was there, for the first time or again.
    Open(Open),
    /// It was lost, for this reason.
    Lost(String),
    Comment(String),
    /// A reconnection time in milliseconds, in a block without data.
    Retry(u64),
    /// The id of a block without data.
    Id(String),
    Event(EventObject),
}

/// How a stream began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Open {
    /// The id behind which it was asked for.
    #[serde(skip_serializing_if = "String::is_empty")]
    last_event_id: String,
    status: u16,
    headers: BTreeMap<String, String>,
}

impl Open {
    pub(super) fn of(head: &Answer, last_event_id: String) -> Open {
        let mut headers = BTreeMap::new();
        // What logs a reader in is not for others.
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
        let line: Line = serde_json::from_slice(line).context("it is no line of a recording")?;
        line.what.check()?;
        Ok(line)
    }

    /// When it came, after the start.
    pub(super) fn at(&self) -> Duration {
        Duration::from_millis(self.at)
    }
}

impl What {
    /// The id that it sets.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            What::Id(id) => Some(id),
            What::Event(event) => event.id.as_deref(),
            _ => None,
        }
    }

    /// What a stream would hold for it; nothing for what is about the connection.
    pub(super) fn item(&self) -> anyhow::Result<Option<Item>> {
        Ok(Some(match self {
            What::Open(_) | What::Lost(_) => return Ok(None),
            What::Comment(text) => Item::Comment(text.clone()),
            What::Retry(millis) => Item::Retry(Duration::from_millis(*millis)),
            What::Id(id) => Item::Id(EventId::new(id.as_str())?),
            What::Event(object) => Item::Event(event(object)?),
        }))
    }

    /// An error if no stream could hold it.
    fn check(&self) -> anyhow::Result<()> {
        self.item().map(drop)
    }
}

impl From<Item> for What {
    fn from(item: Item) -> What {
        match item {
            Item::Event(event) => What::Event(EventObject {
                id: event.id().map(EventId::to_string),
                ..EventObject::from_plain(event, "")
            }),
            Item::Comment(text) => What::Comment(text),
            Item::Retry(time) => What::Retry(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            Item::Id(id) => What::Id(id.to_string()),
        }
    }
}

/// The event of an object. A name may come in with NUL, but cannot go out with it.
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
