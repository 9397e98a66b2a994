//! What a Stentor server tells about the stream itself.

use serde::Deserialize;
use stentor_sse::{Event, EventType};

/// An event of a Stentor server that is no data: its type begins with `stentor.`, which no publisher
/// can use.
///
/// ```no_run
/// use stentor_client::{Control, EventSource};
///
/// # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
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
    /// `stentor.cursor`: where the reader is. Its id has done its work already.
    Cursor,
    /// `stentor.gap`: events were lost.
    Gap(Gap),
    /// `stentor.end`: a topic has ended.
    End(End),
    /// Of a version to come.
    Unknown,
}

/// What a reader has lost, told once per loss. What cannot be read of it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Gap {
    /// Why: `unreadable`, `epoch`, `future`, `trimmed` or `deleted`.
    pub reason: String,
    /// The cursor that the reader came with.
    pub requested: Option<String>,
    /// The id of the next event that there is.
    pub earliest: Option<String>,
    /// The topics that lost events, as far as they are listed.
    pub topics: Vec<String>,
}

/// The end of a topic. What cannot be read of it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct End {
    /// Which one.
    pub topic: String,
    /// Why, in the words of who ended it.
    pub reason: String,
}

impl Control {
    /// What this event tells about its stream; `None` for data.
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
    fn data_is_no_control() {
        assert_eq!(Control::of(&Event::new("x")), None);
        assert_eq!(Control::of(&event("stentor", "x")), None);
        assert_eq!(Control::of(&event("tick", "x")), None);
    }

    #[test]
    fn gaps_and_ends_are_read() {
        let gap = r#"{"reason":"trimmed","requested":"c1","earliest":null,"topics":["a"]}"#;
        let Some(Control::Gap(gap)) = Control::of(&event("stentor.gap", gap)) else { panic!() };
        assert_eq!((gap.reason.as_str(), gap.earliest), ("trimmed", None));
        assert_eq!(gap.topics, ["a"]);

        let end = r#"{"topic":"job","reason":"done"}"#;
        let Some(Control::End(end)) = Control::of(&event("stentor.end", end)) else { panic!() };
        assert_eq!((end.topic.as_str(), end.reason.as_str()), ("job", "done"));
    }

    #[test]
    fn what_cannot_be_read_is_still_a_control() {
        assert_eq!(Control::of(&event("stentor.cursor", "")), Some(Control::Cursor));
        assert_eq!(Control::of(&event("stentor.end", "?")), Some(Control::End(End::default())));
        assert_eq!(Control::of(&event("stentor.new", "")), Some(Control::Unknown));
    }
}
