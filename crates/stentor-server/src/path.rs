//! Topics in paths.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use stentor_hub::{TopicError, TopicName};

use crate::problem::Problem;

/// What may stand in a query value as it is.
const QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/').remove(b'*');

/// Reads the topic from the part of a path behind `/topics/`.
///
/// Each segment is decoded once, so `%2F` is a `/` of the name. An empty segment, `.` and `..` are
/// refused, for proxies and browsers rewrite paths that hold them.
pub(crate) fn topic(raw: &str) -> Result<TopicName, Problem> {
    if is_plain(raw) {
        return Ok(TopicName::new(raw)?);
    }
    let mut name = String::new();
    for (at, segment) in raw.split('/').enumerate() {
        if matches!(segment, "" | "." | "..") {
            let detail = "a segment of the topic is empty, `.` or `..`; write its slashes as %2F if \
                          they belong to the name";
            return Err(Problem::invalid_topic(detail));
        }
        if at > 0 {
            name.push('/');
        }
        let Ok(segment) = percent_decode_str(segment).decode_utf8() else {
            let detail = "the topic is not UTF-8 once decoded; encode it as UTF-8";
            return Err(Problem::invalid_topic(detail));
        };
        name.push_str(&segment);
    }
    TopicName::new(name.as_str()).map_err(|error| match error {
        TopicError::Wildcard { .. } => {
            let line = format!("/events?topic={}", query_value(&name));
            let detail =
                format!("{name:?} is a filter, not a name; subscribe to it with GET {line}");
            Problem::invalid_topic(detail).with("use", line)
        }
        error => error.into(),
    })
}

/// Whether a part of a path is a name as it stands: one segment of letters and digits.
fn is_plain(raw: &str) -> bool {
    !raw.is_empty() && raw.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// A text as it stands in a query value or a fragment.
pub(crate) fn query_value(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(raw: &str) -> Option<String> {
        topic(raw).ok().map(|topic| topic.to_string())
    }

    #[test]
    fn segments_are_decoded_once() {
        assert_eq!(name("news").as_deref(), Some("news"));
        assert_eq!(name("a/b%20c").as_deref(), Some("a/b c"));
        assert_eq!(name("https:%2F%2Fx%2Fy").as_deref(), Some("https://x/y"));
        assert_eq!(name("100%2525").as_deref(), Some("100%25"));
        assert_eq!(name("a+b").as_deref(), Some("a+b"), "a plus is a space in queries only");
    }

    #[test]
    fn segments_that_others_rewrite_are_refused() {
        for raw in ["", "a//b", "a/", "/a", "a/./b", "..", "a/.."] {
            assert_eq!(name(raw), None, "{raw}");
        }
    }

    #[test]
    fn a_filter_is_told_where_it_belongs() {
        let problem = topic("news/*").unwrap_err();
        assert!(problem.detail().contains("/events?topic=news/*"), "{}", problem.detail());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert_eq!(name("%ff"), None);
    }
}
