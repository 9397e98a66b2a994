//! The response header `Retry-After`.

use std::time::{Duration, SystemTime};

/// Parses `Retry-After` in either form (RFC 9110, section 10.2.3): seconds, or a date.
pub(crate) fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = SystemTime::from(jiff::fmt::rfc2822::parse(text).ok()?.timestamp());
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 60);
        let parse = |text| parse_retry_after(text, now);
        assert_eq!(parse("120"), Some(Duration::from_mins(2)));
        assert_eq!(parse("99999999999999999999999"), Some(Duration::MAX));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_mins(1)));
        assert_eq!(parse("Sun, 06 Nov 1993 08:49:37 GMT"), None, "not a Sunday");
        assert_eq!(parse("Sat, 06 Nov 1993 08:49:37 GMT"), Some(Duration::ZERO), "past");
        for bad in ["", "-1", "1.5", "soon"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
