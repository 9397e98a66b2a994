//! Lengths of time, as people write them.

use std::time::Duration;

use anyhow::Context;
use jiff::SpanRelativeTo;

/// A length of time, with days of 24 hours.
pub(crate) fn parse(text: &str) -> anyhow::Result<Duration> {
    let advice =
        || format!("{text:?} is no length of time; write it as 500ms, 45s, 30m, 12h or 7d");
    let span: jiff::Span = text.parse().with_context(advice)?;
    let length = span.to_duration(SpanRelativeTo::days_are_24_hours()).with_context(advice)?;
    Duration::try_from(length).with_context(advice)
}

/// The same as a value of an option; an error says all of it, the advice too.
pub(crate) fn parse_arg(text: &str) -> Result<Duration, String> {
    parse(text).map_err(|error| format!("{error:#}"))
}
