//! Repeated publishing: `--repeat` and `--every`.

use std::time::Duration;

use futures_util::Stream;
use futures_util::stream::unfold;
use stentor_client::Publish;
use tokio::time::{MissedTickBehavior, interval};

use crate::{duration, values};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct RepeatArgs {
    /// Publish N times; `{i}` is replaced by 1, 2, 3, …
    #[arg(
        long,
        value_name = "N",
        value_parser = values::count,
        conflicts_with = "from"
    )]
    repeat: Option<u64>,

    /// Pause between repeats, such as `1s`. Without --repeat: until stopped.
    #[arg(long, value_name = "TIME", value_parser = positive, conflicts_with = "from")]
    every: Option<Duration>,
}

fn positive(text: &str) -> Result<Duration, String> {
    let time = duration::parse(text)?;
    if time.is_zero() {
        Err("expected more than 0; use --repeat alone for no pause".to_owned())
    } else {
        Ok(time)
    }
}

impl RepeatArgs {
    pub(super) fn is_set(&self) -> bool {
        self.repeat.is_some() || self.every.is_some()
    }

    /// Returns the publish of each number when it is due.
    pub(super) fn stream(
        &self,
        publish: impl Fn(u64) -> Publish,
    ) -> impl Stream<Item = anyhow::Result<Publish>> {
        let count = self.repeat.unwrap_or(u64::MAX);
        let clock = self.every.map(|every| {
            let mut clock = interval(every);
            // Missed ticks, such as during suspend, are not made up for.
            clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
            clock
        });
        unfold((1, clock, publish), move |(number, mut clock, publish)| async move {
            if number > count {
                return None;
            }
            if let Some(clock) = &mut clock {
                clock.tick().await;
            }
            Some((Ok(publish(number)), (number + 1, clock, publish)))
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio::time::Instant;

    use super::*;

    /// Returns when each of the first five is due, in milliseconds.
    async fn times(args: &RepeatArgs) -> Vec<u128> {
        let began = Instant::now();
        let stream = args.stream(|number| Publish::from(number.to_string()));
        stream.take(5).map(|_| began.elapsed().as_millis()).collect().await
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_is_due_at_once_and_each_other_after_the_pause() {
        let every = Some(Duration::from_millis(1_500));
        assert_eq!(times(&RepeatArgs { repeat: Some(3), every }).await, [0, 1_500, 3_000]);
        assert_eq!(times(&RepeatArgs { repeat: None, every }).await.len(), 5);
        assert_eq!(times(&RepeatArgs { repeat: Some(2), every: None }).await, [0, 0]);
    }
}
