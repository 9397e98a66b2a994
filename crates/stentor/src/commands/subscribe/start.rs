//! Start options of a subscription.

use std::ffi::OsStr;

use clap::ValueEnum;
use clap::builder::{PossibleValue, TypedValueParser};
use jiff::Timestamp;

use crate::{duration, values};

/// Help heading of these options.
pub(super) const HEADING: &str = "Start";

/// The start of a subscription; by default only new events.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = HEADING)]
#[group(id = "start", multiple = false)]
pub(super) struct StartArgs {
    /// Start with the oldest event (`earliest`) or only new ones (`now`) [default: now].
    #[arg(long, value_parser = FromParser, hide_possible_values = true)]
    from: Option<From>,

    /// Start with the newest N events, across all topics.
    #[arg(long, value_name = "N", value_parser = values::number)]
    last: Option<u32>,

    /// Start with the newest N events of each topic.
    #[arg(long, value_name = "N", value_parser = values::number)]
    last_each: Option<u32>,

    /// Start with the events since this time, such as `2026-01-31T12:00:00Z`, or `10m`, `2h` or `1d` ago.
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    since: Option<Timestamp>,

    /// Start after the event with this id. Works with any server.
    #[arg(long, value_name = "ID", value_parser = values::header_value)]
    pub(super) last_event_id: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum From {
    /// The oldest event.
    Earliest,
    /// The next event.
    Now,
}

impl StartArgs {
    /// Returns the query parameter for the server, if there is one.
    pub(super) fn query(&self) -> Option<(&'static str, String)> {
        let from = self.from.map(|from| match from {
            From::Earliest => ("from", "earliest".to_owned()),
            From::Now => ("from", "now".to_owned()),
        });
        from.or_else(|| self.last.map(|last| ("last", last.to_string())))
            .or_else(|| self.last_each.map(|last| ("last_each", last.to_string())))
            .or_else(|| self.since.map(|since| ("since", since.to_string())))
    }
}

/// Parses `--from`. Unlike the parser of clap, it explains the words in its error.
#[derive(Clone)]
struct FromParser;

impl TypedValueParser for FromParser {
    type Value = From;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<From, clap::Error> {
        from.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(From::value_variants().iter().filter_map(ValueEnum::to_possible_value)))
    }
}

fn from(text: &str) -> Result<From, String> {
    From::from_str(text, false).map_err(|_| {
        "expected `now` (only new events) or `earliest` (all stored events, then new ones)"
            .to_owned()
    })
}

/// Parses a time, or a duration before now.
fn timestamp(text: &str) -> Result<Timestamp, String> {
    if let Ok(timestamp) = text.parse() {
        return Ok(timestamp);
    }
    let ago = duration::parse(text.strip_suffix(" ago").unwrap_or(text));
    ago.ok().and_then(|ago| Timestamp::now().checked_sub(ago).ok()).ok_or_else(|| {
        "expected a time such as 2026-01-31T12:00:00Z, or 10m, 2h or 1d ago".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_taken_as_it_is() {
        let noon = "2026-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(timestamp("2026-01-31T12:00:00Z"), Ok(noon));
        assert_eq!(timestamp("2026-01-31T14:00:00+02:00"), Ok(noon));
    }

    #[test]
    fn a_duration_means_that_long_ago() {
        for (text, seconds) in [("10m", 600), ("1h30m", 5400), ("2d", 172_800), ("90s ago", 90)] {
            let before = Timestamp::now().as_second();
            let timestamp = timestamp(text).unwrap().as_second();
            let after = Timestamp::now().as_second();
            assert!((before..=after).contains(&(timestamp + seconds)), "{text}: {timestamp}");
        }
    }

    #[test]
    fn an_invalid_time_is_refused_with_advice() {
        for text in ["yesterday", "-10m", "", "2026-13-01T00:00:00Z", "999999999999d"] {
            assert!(timestamp(text).unwrap_err().contains("10m"), "{text}");
        }
    }
}
