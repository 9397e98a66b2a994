//! Counts the events of an upload that are in the log.

use http::{Response, StatusCode};
use serde_json::{Value, json};
use stentor_hub::{Cursor, Published, TopicName};

use crate::body::Body;
use crate::json;
use crate::problem::Problem;

/// The part of an upload that is in the log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Number of events in the log, repeats included.
    count: u64,
    /// Number of these events that this upload added.
    new: u64,
    /// Number of `stentor.*` events that were left out: they belong to the server they came from.
    pub(super) skipped: u64,
    first: Option<Cursor>,
    last: Option<Cursor>,
}

impl Progress {
    /// Counts an event.
    pub(super) fn record(&mut self, published: Published) {
        self.count += 1;
        self.new += u64::from(!published.repeat);
        self.first.get_or_insert(published.first);
        self.last = Some(published.last);
    }

    /// Adds the progress to the problem that ends the upload.
    pub(super) fn add_to(&self, problem: Problem) -> Problem {
        let last = self.last.map_or(Value::Null, |id| id.to_string().into());
        problem.with_member("published", self.count).with_member("last_id", last)
    }

    /// Returns 201 if the upload added an event, else 200.
    pub(super) fn status(&self) -> StatusCode {
        if self.new > 0 { StatusCode::CREATED } else { StatusCode::OK }
    }

    /// Returns the response to a complete upload.
    pub(super) fn response(&self, status: StatusCode, topic: &TopicName) -> Response<Body> {
        let mut members = json!({
            "topic": topic.as_str(),
            "count": self.count,
            "first_id": self.first.map(|id| id.to_string()),
            "last_id": self.last.map(|id| id.to_string()),
        });
        if let Some(members) = members.as_object_mut().filter(|_| self.skipped > 0) {
            members.insert("skipped".to_owned(), self.skipped.into());
        }
        json::response(status, &members)
    }
}
