//! When to stop.

use std::future::pending;
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep_until};

use super::failure::{Code, Failure};
use crate::duration;
use crate::output::print_message;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "When to stop")]
pub(super) struct LimitArgs {
    /// Stop after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Stop after this time, such as 30s or 5m.
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse_arg)]
    time: Option<Duration>,

    /// Stop at the end also where there is none for sure: of a pattern, when every topic seen has
    /// ended; of an address, when the server ends the stream, instead of connecting again.
    #[arg(long)]
    pub(super) until_end: bool,

    /// Stop when events were lost, with the cursor before the loss.
    #[arg(long)]
    fail_on_gap: bool,
}

/// What is left until it is enough.
#[derive(Debug)]
pub(super) struct Limits {
    /// How many events.
    left: Option<u64>,
    /// Until when, and how long that was at the start.
    time: Option<(Instant, Duration)>,
    /// Whether something else than the time was to end it.
    has_goal: bool,
    fail_on_gap: bool,
}

impl LimitArgs {
    /// The limits, with the time running.
    pub(super) fn begin(&self) -> Limits {
        Limits {
            left: self.count,
            time: self.time.and_then(|time| Some((Instant::now().checked_add(time)?, time))),
            has_goal: self.count.is_some() || self.until_end,
            fail_on_gap: self.fail_on_gap,
        }
    }
}

impl Limits {
    /// Counts an event, and tells whether it was the last one.
    pub(super) fn count(&mut self) -> bool {
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.left == Some(0)
    }

    /// Takes note of lost events.
    pub(super) fn lose(&self, words: &str) -> Result<(), Failure> {
        if self.fail_on_gap {
            return Err(Failure::new(Code::Gap, anyhow!("{words}")));
        }
        print_message(format_args!("{words}"));
        Ok(())
    }

    /// Waits until the time is over, and tells how well that is.
    pub(super) async fn time_over(&self) -> Result<(), Failure> {
        let Some((end, time)) = self.time else { return pending().await };
        sleep_until(end).await;
        let time = time.as_secs_f32();
        match self.left {
            _ if !self.has_goal => Ok(()),
            Some(left) => {
                let error = anyhow!("{time} s are over; events still to come: {left}");
                Err(Failure::new(Code::Late, error))
            }
            None => Err(Failure::new(Code::Late, anyhow!("{time} s are over before the end"))),
        }
    }
}
