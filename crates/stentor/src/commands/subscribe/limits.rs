//! Stop options of a subscription.

use std::future::pending;
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep_until};

use super::failure::{Code, Failure};
use crate::output::print_message;
use crate::{duration, values};

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Stop")]
pub(super) struct LimitArgs {
    /// Stop after N events.
    #[arg(long, value_name = "N", value_parser = values::count)]
    count: Option<u64>,

    /// Stop after this time, such as `30s` or `5m`.
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    time: Option<Duration>,

    /// Also stop when (pattern) all topics seen so far have ended, or (URL) the server closes the stream.
    #[arg(long)]
    pub(super) until_end: bool,

    /// Exit with 4 if events were lost; the cursor stays before the loss.
    #[arg(long)]
    fail_on_gap: bool,
}

/// The state of the stop options.
#[derive(Debug)]
pub(super) struct Limits {
    /// Number of events until `--count` is reached.
    left: Option<u64>,
    /// The end of `--for`, and its length.
    time: Option<(Instant, Duration)>,
    /// `true` if `--count` or `--until-end` is given, so that reaching the time is a failure.
    has_goal: bool,
    fail_on_gap: bool,
}

impl LimitArgs {
    /// Starts the time.
    pub(super) fn start(&self) -> Limits {
        Limits {
            left: self.count,
            time: self.time.and_then(|time| Some((Instant::now().checked_add(time)?, time))),
            has_goal: self.count.is_some() || self.until_end,
            fail_on_gap: self.fail_on_gap,
        }
    }
}

impl Limits {
    /// Counts an event. Returns `true` if it was the last one.
    pub(super) fn count(&mut self) -> bool {
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.left == Some(0)
    }

    /// Reports lost events.
    ///
    /// # Errors
    /// With `--fail-on-gap`.
    pub(super) fn report_gap(&self, message: &str) -> Result<(), Failure> {
        if self.fail_on_gap {
            return Err(Failure::new(Code::Gap, anyhow!("{message}")));
        }
        print_message(format_args!("{message}"));
        Ok(())
    }

    /// Waits for the end of `--for`; indefinitely without it. Cancel safe.
    ///
    /// # Errors
    /// There is another goal, which was not reached.
    pub(super) async fn timed_out(&self) -> Result<(), Failure> {
        let Some((end, time)) = self.time else { return pending().await };
        sleep_until(end).await;
        let time = time.as_secs_f32();
        match self.left {
            _ if !self.has_goal => Ok(()),
            Some(left) => {
                let events = if left == 1 { "event" } else { "events" };
                let error =
                    anyhow!("stopped after {time} s with {left} {events} missing (--count)");
                Err(Failure::new(Code::Timeout, error))
            }
            None => {
                Err(Failure::new(Code::Timeout, anyhow!("stopped after {time} s, before the end")))
            }
        }
    }
}
