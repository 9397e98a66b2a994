//! Result of a publish.

use serde::Deserialize;

/// Result of a publish: the events are durable, and subscribers can see them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Number of events; 1 for an end without an event.
    pub count: u64,
    /// The id of the first event; `None` if the body contained no event.
    pub first_id: Option<String>,
    /// The id of the last event; `None` if the body contained no event.
    pub last_id: Option<String>,
    /// `true` if nothing new was published: all events were already in the log under the same key, or the topic to
    /// end had already ended.
    ///
    /// The events may be from an earlier attempt of this call whose response was lost.
    pub repeat: bool,
}

/// Response body of the server, for one event and for several.
#[derive(Deserialize)]
#[serde(untagged)]
enum ResponseBody {
    One { id: String },
    Many { count: u64, first_id: Option<String>, last_id: Option<String> },
}

impl Published {
    /// Adds the result of the next publish.
    pub(crate) fn append(&mut self, next: Published) {
        if next.count > 0 {
            self.repeat = next.repeat && (self.count == 0 || self.repeat);
            self.count += next.count;
            self.first_id = self.first_id.take().or(next.first_id);
            self.last_id = next.last_id;
        }
    }

    /// Parses a response body. Returns `None` if it is not the response to a publish.
    pub(crate) fn parse(body: &[u8], repeat: bool) -> Option<Published> {
        Some(match serde_json::from_slice(body).ok()? {
            ResponseBody::One { id } => {
                Published { count: 1, first_id: Some(id.clone()), last_id: Some(id), repeat }
            }
            ResponseBody::Many { count, first_id, last_id } => {
                Published { count, first_id, last_id, repeat }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_response_bodies_are_parsed() {
        let one = Published::parse(br#"{"topic":"t","id":"c1"}"#, false).unwrap();
        assert_eq!(
            (one.count, one.first_id.as_deref(), one.last_id.as_deref()),
            (1, Some("c1"), Some("c1"))
        );
        let many = br#"{"topic":"t","count":2,"first_id":"c1","last_id":"c2"}"#;
        let many = Published::parse(many, true).unwrap();
        assert_eq!((many.count, many.last_id.as_deref(), many.repeat), (2, Some("c2"), true));
        let none = br#"{"topic":"t","count":0,"first_id":null,"last_id":null}"#;
        assert_eq!(Published::parse(none, false), Some(Published::default()));
    }

    #[test]
    fn other_bodies_are_not_parsed() {
        for body in ["", "<html>", "{}", "[1]"] {
            assert_eq!(Published::parse(body.as_bytes(), false), None, "{body}");
        }
    }
}
