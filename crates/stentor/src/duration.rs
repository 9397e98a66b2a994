//! Parses durations of the command line, such as `30s`.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Parses a duration. A day has 24 hours.
///
/// # Errors
/// The message names the accepted forms.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let span: Option<Span> = text.parse().ok();
    let signed = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let duration = signed.and_then(|signed| Duration::try_from(signed).ok());
    duration.ok_or_else(|| "expected a duration such as 500ms, 45s, 30m, 12h or 7d".to_owned())
}
