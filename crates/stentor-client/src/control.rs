//! Control events: messages of a Stentor server about the stream itself.

use serde::Deserialize;
use stentor_sse::{Event, EventType};

/// A control event of a Stentor server.
///
/// The type of a control event begins with `stentor.`. Publishers cannot use such types.
///
/// ```no_run
/// use stentor_client::{Control, EventSource};
///
/// # async fn subscribe() -> Result<(), Box<dyn std::error::Error>> {
/// let mut source = EventSource::new("http://localhost:8080/topics/build-7")?;
/// while let Some(event) = source.next().await {
///     let event = event?;
///     match Control::of(&event) {
///         None => println!("{}", event.data()),
///         Some(Control::Gap(gap)) => eprintln!("events were lost: {}", gap.reason),
///         Some(Control::End(end)) => eprintln!("{} has ended: {}", end.topic, end.reason),
///         Some(_) => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// `stentor.cursor`: the current position. No action is needed: its id is already the last event id.
    Cursor,
    /// `stentor.gap`: events were lost for this subscriber.
    Gap(Gap),
    /// `stentor.end`: a topic has ended.
    End(End),
    /// A control event that this version of the crate does not know.
    Unknown,
}

/// Content of a `stentor.gap` event. A server reports each loss once. Fields that cannot be parsed are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Gap {
    /// The reason: `unreadable`, `epoch`, `future`, `trimmed`, `deleted` or `damaged`.
    pub reason: String,
    /// The cursor that the subscriber sent.
    pub requested: Option<String>,
    /// The id of the next event of the stream, if there is one.
    pub earliest: Option<String>,
    /// The topics that lost events, as far as the server lists them.
    pub topics: Vec<String>,
}

/// Content of a `stentor.end` event. Fields that cannot be parsed are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct End {
    /// The topic.
    pub topic: String,
    /// The reason given by the publisher that ended the topic.
    pub reason: String,
}

impl Control {
    /// Parses a control event. Returns `None` for any other event.
    pub fn of(event: &Event) -> Option<Control> {
        let name = event.event_type().map(EventType::as_str)?.strip_prefix("stentor.")?;
        Some(match name {
            "cursor" => Control::Cursor,
            "gap" => Control::Gap(serde_json::from_str(event.data()).unwrap_or_default()),
            "end" => Control::End(serde_json::from_str(event.data()).unwrap_or_default()),
            _ => Control::Unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event_type: &str, data: &str) -> Event {
        Event::new(data).with_type(EventType::new(event_type).unwrap())
    }

    #[test]
    fn other_events_are_not_control_events() {
        assert_eq!(Control::of(&Event::new("x")), None);
        assert_eq!(Control::of(&event("stentor", "x")), None);
        assert_eq!(Control::of(&event("tick", "x")), None);
    }

    #[test]
    fn gaps_and_ends_are_parsed() {
        let gap = r#"{"reason":"trimmed","requested":"c1","earliest":null,"topics":["a"]}"#;
        let Some(Control::Gap(gap)) = Control::of(&event("stentor.gap", gap)) else { panic!() };
        assert_eq!((gap.reason.as_str(), gap.earliest), ("trimmed", None));
        assert_eq!(gap.topics, ["a"]);

        let end = r#"{"topic":"job","reason":"done"}"#;
        let Some(Control::End(end)) = Control::of(&event("stentor.end", end)) else { panic!() };
        assert_eq!((end.topic.as_str(), end.reason.as_str()), ("job", "done"));
    }

    #[test]
    fn a_malformed_control_event_is_still_one() {
        assert_eq!(Control::of(&event("stentor.cursor", "")), Some(Control::Cursor));
        assert_eq!(Control::of(&event("stentor.end", "?")), Some(Control::End(End::default())));
        assert_eq!(Control::of(&event("stentor.new", "")), Some(Control::Unknown));
    }
}
