//! How far an upload came.

use http::{Response, StatusCode};
use serde_json::{Value, json};
use stentor_hub::{Cursor, Published, TopicName};

use crate::body::Body;
use crate::json::answer;
use crate::problem::Problem;

/// What of an upload is in the log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Events that are in the log, repeats included.
    count: u64,
    /// Of these, the ones that were not there before.
    new: u64,
    /// Events of the server's own in an uploaded stream of another Stentor.
    pub(super) skipped: u64,
    first: Option<Cursor>,
    last: Option<Cursor>,
}

impl Progress {
    pub(super) fn note(&mut self, published: Published) {
        self.count += 1;
        self.new += u64::from(!published.repeat);
        self.first.get_or_insert(published.first);
        self.last = Some(published.last);
    }

    /// An error says how far the upload came.
    pub(super) fn tell(&self, problem: Problem) -> Problem {
        let last = self.last.map_or(Value::Null, |id| id.to_string().into());
        problem.with("published", self.count).with("last_id", last)
    }

    /// 201 if anything is new, else 200.
    pub(super) fn status(&self) -> StatusCode {
        if self.new > 0 { StatusCode::CREATED } else { StatusCode::OK }
    }

    pub(super) fn answer(&self, status: StatusCode, topic: &TopicName) -> Response<Body> {
        let mut members = json!({
            "topic": topic.as_str(),
            "count": self.count,
            "first_id": self.first.map(|id| id.to_string()),
            "last_id": self.last.map(|id| id.to_string()),
        });
        if let Some(members) = members.as_object_mut().filter(|_| self.skipped > 0) {
            members.insert("skipped".to_owned(), self.skipped.into());
        }
        answer(status, &members)
    }
}
