//! What comes of a publish.

use serde::Deserialize;

/// What was published: it is durable, and readers have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// How many events, or 1 for an end alone.
    pub count: u64,
    /// The id of the first; `None` if a streamed body held none.
    pub first_id: Option<String>,
    /// The id of the last.
    pub last_id: Option<String>,
    /// All of it was there already: under the same key, from before or from an attempt of this very
    /// call whose answer was lost; or the topic had ended already, and was only to end.
    pub repeat: bool,
}

/// The two answers of the server: to one event, and to a body of several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    One { id: String },
    Many { count: u64, first_id: Option<String>, last_id: Option<String> },
}

impl Published {
    /// Both together, if this is what was published next.
    pub(crate) fn append(&mut self, next: Published) {
        if next.count > 0 {
            self.repeat = next.repeat && (self.count == 0 || self.repeat);
            self.count += next.count;
            self.first_id = self.first_id.take().or(next.first_id);
            self.last_id = next.last_id;
        }
    }

    /// Reads the body of an answer; `None` if that is none to a publish.
    pub(crate) fn read(body: &[u8], repeat: bool) -> Option<Published> {
        Some(match serde_json::from_slice(body).ok()? {
            Answer::One { id } => {
                Published { count: 1, first_id: Some(id.clone()), last_id: Some(id), repeat }
            }
            Answer::Many { count, first_id, last_id } => {
                Published { count, first_id, last_id, repeat }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_answers_are_read() {
        let one = Published::read(br#"{"topic":"t","id":"c1"}"#, false).unwrap();
        assert_eq!(
            (one.count, one.first_id.as_deref(), one.last_id.as_deref()),
            (1, Some("c1"), Some("c1"))
        );
        let many = br#"{"topic":"t","count":2,"first_id":"c1","last_id":"c2"}"#;
        let many = Published::read(many, true).unwrap();
        assert_eq!((many.count, many.last_id.as_deref(), many.repeat), (2, Some("c2"), true));
        let none = br#"{"topic":"t","count":0,"first_id":null,"last_id":null}"#;
        assert_eq!(Published::read(none, false), Some(Published::default()));
    }

    #[test]
    fn other_answers_are_not() {
        for body in ["", "<html>", "{}", "[1]"] {
            assert_eq!(Published::read(body.as_bytes(), false), None, "{body}");
        }
    }
}
