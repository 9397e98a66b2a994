//! Where a subscription begins.

use jiff::Timestamp;

use crate::duration;

/// Of these options in the help.
pub(super) const HEADING: &str = "Where to begin";

/// Where to begin; where the next event comes unless told otherwise.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = HEADING)]
#[group(id = "start", multiple = false)]
pub(super) struct StartArgs {
    /// Begin at this end of the topics.
    #[arg(long, value_enum)]
    from: Option<From>,

    /// Begin with the newest N events of all the topics together.
    #[arg(long, value_name = "N")]
    last: Option<u32>,

    /// Begin with the newest N events of each topic.
    #[arg(long, value_name = "N")]
    last_each: Option<u32>,

    /// Begin with the events since then: a time such as 2026-01-31T12:00:00Z, or so long ago as 10m,
    /// 2h or 1d.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,

    /// Begin behind the event with this id; the one start that any server can know.
    #[arg(long, value_name = "ID")]
    pub(super) last_event_id: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum From {
    /// With the oldest event that there is.
    Earliest,
    /// With the next event.
    Now,
}

impl StartArgs {
    /// The start as a topic's server is asked for it.
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

/// A moment, told by itself or by how long ago it was.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let ago = duration::parse(text.strip_suffix(" ago").unwrap_or(text));
    ago.ok().and_then(|ago| Timestamp::now().checked_sub(ago).ok()).ok_or_else(|| {
        "write it as 2026-01-31T12:00:00Z, or as so long ago: 10m, 2h, 1d".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_taken_as_it_is() {
        let noon = "2026-01-31T12:00:00Z".parse().unwrap();
        assert_eq!(moment("2026-01-31T12:00:00Z"), Ok(noon));
        assert_eq!(moment("2026-01-31T14:00:00+02:00"), Ok(noon));
    }

    #[test]
    fn so_long_ago_is_a_time_too() {
        for (text, seconds) in [("10m", 600), ("1h30m", 5400), ("2d", 172_800), ("90s ago", 90)] {
            let before = Timestamp::now().as_second();
            let moment = moment(text).unwrap().as_second();
            let after = Timestamp::now().as_second();
            assert!((before..=after).contains(&(moment + seconds)), "{text}: {moment}");
        }
    }

    #[test]
    fn what_is_no_time_gets_advice() {
        for text in ["yesterday", "-10m", "", "2026-13-01T00:00:00Z", "999999999999d"] {
            assert!(moment(text).unwrap_err().contains("10m"), "{text}");
        }
    }
}
