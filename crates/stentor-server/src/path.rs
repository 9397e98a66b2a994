//! Topic names in paths.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use stentor_hub::{TopicError, TopicName};

use crate::problem::{Code, Problem};

/// Characters that are percent-encoded in a query value.
const QUERY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/').remove(b'*');

/// Reads a topic name from the part of a path after `/topics/`.
///
/// Each segment is decoded once, so `%2F` is a `/` of the name. An empty segment, `.` and `..` are
/// refused, also in percent-encoded form (`%2e`), because proxies and browsers rewrite such paths.
pub(crate) fn topic(raw: &str) -> Result<TopicName, Problem> {
    if is_plain(raw) {
        return Ok(TopicName::new(raw)?);
    }
    let mut name = String::new();
    for (at, segment) in raw.split('/').enumerate() {
        let Ok(segment) = percent_decode_str(segment).decode_utf8() else {
            let detail = "the topic does not decode to UTF-8; percent-encode its UTF-8 bytes";
            return Err(Problem::of(Code::Topic, detail));
        };
        if segment.is_empty() {
            let detail = "the path has an empty segment (a doubled slash, or one at the end); remove that \
                          slash, or write it as %2F if it belongs to the name";
            return Err(Problem::of(Code::Topic, detail));
        }
        if matches!(&*segment, "." | "..") {
            let detail = format!(
                "the path has the segment `{segment}`, which browsers and proxies remove; use \
                 another name, or write the slashes beside it as %2F"
            );
            return Err(Problem::of(Code::Topic, detail));
        }
        if at > 0 {
            name.push('/');
        }
        name.push_str(&segment);
    }
    TopicName::new(name.as_str()).map_err(|error| match error {
        TopicError::Wildcard { .. } => {
            let line = format!("/events?topic={}", query_value(&name));
            let detail = format!("{name:?} is a pattern, not a topic; subscribe with GET {line}");
            Problem::of(Code::Topic, detail).with_member("use", line)
        }
        error => error.into(),
    })
}

/// Returns `true` for a part of a path that needs no decoding: one segment of ASCII letters, digits,
/// `-` and `_`.
fn is_plain(raw: &str) -> bool {
    !raw.is_empty() && raw.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Percent-encodes a text for a query value or a fragment.
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
        assert_eq!(name("a%2F..%2Fb").as_deref(), Some("a/../b"), "one segment of the path");
        assert_eq!(name("100%2525").as_deref(), Some("100%25"));
        assert_eq!(name("a+b").as_deref(), Some("a+b"), "a plus is a space in queries only");
    }

    #[test]
    fn segments_that_proxies_rewrite_are_refused() {
        for raw in ["", "a//b", "a/", "/a", "a/./b", "..", "a/..", "%2e", "a/%2E%2e", ".%2e/b"] {
            assert_eq!(name(raw), None, "{raw}");
        }
        let detail = |raw| topic(raw).unwrap_err().detail().to_owned();
        assert!(detail("news/").contains("one at the end"), "{}", detail("news/"));
        assert!(detail("a/%2e%2e").contains("the segment `..`"), "{}", detail("a/%2e%2e"));
    }

    #[test]
    fn the_problem_of_a_pattern_names_the_path_to_use() {
        let problem = topic("news/*").unwrap_err();
        assert!(problem.detail().contains("/events?topic=news/*"), "{}", problem.detail());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        assert_eq!(name("%ff"), None);
    }
}
