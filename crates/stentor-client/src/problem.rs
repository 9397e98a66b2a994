//! Error details sent by the server.

use std::fmt;
use std::time::Duration;

use reqwest::Response;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;

/// Error details from a response body of type `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Problem {
    /// A stable, short code for programs.
    pub code: Option<String>,
    /// The meaning of the status.
    pub title: Option<String>,
    /// Explanation of the error, with advice.
    pub detail: Option<String>,
    /// Number of events of an upload that were published before it failed.
    pub published: Option<u64>,
    /// The id of the last event that was published.
    pub last_id: Option<String>,
}

impl Problem {
    /// Maximum size of a problem body, in bytes. A larger one is ignored.
    const BYTES_MAX: usize = 64 * 1024;

    /// Maximum time to receive a problem body.
    const READ_TIMEOUT: Duration = Duration::from_secs(5);

    /// Formats `: ` and the problem, as the end of an error text. Empty without a problem.
    pub(crate) fn suffix(problem: Option<&Problem>) -> String {
        problem.map(|problem| format!(": {problem}")).unwrap_or_default()
    }

    /// Reads the problem from a response. Returns `None` if the response has no valid problem body.
    pub(crate) async fn read(response: Response) -> Option<Problem> {
        let content_type = response.headers().get(CONTENT_TYPE)?.to_str().ok()?;
        if !is_essence(content_type, "application/problem+json") {
            return None;
        }
        let body = tokio::time::timeout(Self::READ_TIMEOUT, read_up_to(response, Self::BYTES_MAX));
        serde_json::from_slice(&body.await.ok()??).ok()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.detail.as_deref().or(self.title.as_deref()).or(self.code.as_deref());
        f.write_str(text.unwrap_or("the server gave no reason"))
    }
}

/// Reads a whole body. Returns `None` if the connection breaks or the body is larger than `bytes_max`.
pub(crate) async fn read_up_to(mut response: Response, bytes_max: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.ok()? {
        if body.len() + piece.len() > bytes_max {
            return None;
        }
        body.extend_from_slice(&piece);
    }
    Some(body)
}

/// Compares a content type with `essence`, ignoring parameters and case.
pub(crate) fn is_essence(content_type: &str, essence: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or_default();
    name.trim_matches([' ', '\t']).eq_ignore_ascii_case(essence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_of_a_content_type_are_ignored() {
        for good in [
            "text/event-stream",
            "text/event-stream;",
            "Text/Event-Stream ; charset=latin1",
            " text/event-stream\t;x",
        ] {
            assert!(is_essence(good, "text/event-stream"), "{good}");
        }
        for bad in
            ["text/event-stream x", "text/event-streams", "text/plain", "", "x text/event-stream"]
        {
            assert!(!is_essence(bad, "text/event-stream"), "{bad}");
        }
    }

    #[test]
    fn a_problem_displays_its_detail_first() {
        let problem: Problem =
            serde_json::from_str(r#"{"title":"Conflict","detail":"it has ended","more":1}"#)
                .unwrap();
        assert_eq!(problem.to_string(), "it has ended");
        let problem: Problem = serde_json::from_str(r#"{"title":"Conflict"}"#).unwrap();
        assert_eq!(problem.to_string(), "Conflict");
    }
}
