//! The cost of a publish beside many subscriptions, and beside readers that are stuck.

use anyhow::bail;
use stentor_hub::storage::Budget;
use stentor_hub::{
    Consumer, Event, Filters, Hub, Publish, Start, Subscribed, Subscription, TopicName, TryRead,
};
use tokio::time::Instant;

use crate::context::Context;
use crate::publishers::EVENT_BYTES;
use crate::stats::{median, thousands};

/// Number of subscriptions of the row with which the others are compared.
const FEW: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of subscriptions, and of stuck readers.
    #[arg(long, default_value_t = 50_000)]
    readers: usize,

    /// Number of events of a measurement.
    #[arg(long, default_value_t = 200_000)]
    events: usize,
}

/// Subscriptions in one process, as the live groups and the lagging readers of a shard.
struct Subscriptions {
    hub: Hub,
    consumer: Consumer,
    live: Vec<Subscription>,
    stuck: Vec<Subscription>,
}

pub(crate) async fn run(bench: &Context, args: &Args) -> anyhow::Result<()> {
    println!(
        "- in this process, without a server; a log in memory; {} events of {EVENT_BYTES} bytes to topics \
         `user/N/inbox`, one at a time, each read by the one live group that matches\n",
        thousands(args.events as f64)
    );
    println!("| beside | per publish | x {FEW} subscriptions |\n| --- | ---: | ---: |");
    let few = measure(bench, args, FEW, 0, "").await?;
    show(&format!("{FEW} subscriptions `user/N/*`"), few, few);
    for count in [10_000, args.readers] {
        let cost = measure(bench, args, count, 0, "").await?;
        show(&format!("{} subscriptions `user/N/*`", thousands(count as f64)), cost, few);
    }
    let stuck = thousands(args.readers as f64);
    for (name, filter) in [("another topic", "news"), ("the same topics", "user/*/inbox")] {
        let cost = measure(bench, args, FEW, args.readers, filter).await?;
        show(&format!("{FEW} of them, and {stuck} stuck readers of {name}"), cost, few);
    }
    Ok(())
}

fn show(name: &str, micros: f64, few: f64) {
    println!("| {name} | {micros:.2} us | {:.2} |", micros / few);
}

/// Returns the median microseconds of a publish beside `count` live groups, and `stuck` readers of `filter`.
async fn measure(
    bench: &Context,
    args: &Args,
    count: usize,
    stuck: usize,
    filter: &str,
) -> anyhow::Result<f64> {
    let mut micros = Vec::new();
    for _ in 0..bench.repeats {
        let hub = Hub::memory();
        let consumer = Consumer::new();
        let mut shard = Subscriptions { hub, consumer, live: Vec::new(), stuck: Vec::new() };
        for key in 0..count {
            let group = shard.subscribe(&format!("user/{key}/*"), key).await?;
            shard.live.push(*group);
        }
        if stuck > 0 {
            let group = shard.subscribe(filter, usize::MAX).await?;
            let (position, losses) = (group.cursor().offset, group.losses_reported());
            shard.stuck = (0..stuck).map(|_| group.fork(position, losses, [])).collect();
        }
        shard.publish(args.events / 10)?;
        let started = Instant::now();
        shard.publish(args.events)?;
        micros.push(started.elapsed().as_secs_f64() * 1e6 / args.events as f64);
    }
    Ok(median(micros))
}

impl Subscriptions {
    async fn subscribe(&self, filter: &str, key: usize) -> anyhow::Result<Box<Subscription>> {
        let filters = Filters::new([filter.parse()?])?;
        let Subscribed::Open(mut group) = self.hub.subscribe(filters, Start::Now).await? else {
            bail!("{filter} has ended");
        };
        group.notify(&self.consumer, key);
        let _ = group.try_read(Budget::default());
        Ok(group)
    }

    /// Publishes to the topics of all groups in turn. The group that is woken reads the event.
    fn publish(&mut self, events: usize) -> anyhow::Result<()> {
        let topics = (0..self.live.len()).map(|key| TopicName::new(format!("user/{key}/inbox")));
        let topics: Vec<TopicName> = topics.collect::<Result<_, _>>()?;
        let data = "e".repeat(EVENT_BYTES);
        let mut ready = Vec::new();
        for topic in topics.iter().cycle().take(events) {
            let event = Publish::event(topic.clone(), Event::new(data.as_str()));
            let Ok(published) = self.hub.publish_now(event) else {
                bail!("an append is in flight")
            };
            published?;
            self.consumer.take_ready(&mut ready);
            for key in ready.drain(..) {
                let Some(group) = self.live.get_mut(key) else { continue };
                group.rearm();
                let TryRead::Batch(_) = group.try_read(Budget::default()) else {
                    bail!("the group of {topic} was woken and has nothing to read");
                };
            }
        }
        Ok(())
    }
}
