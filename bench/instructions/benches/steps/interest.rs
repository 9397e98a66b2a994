//! Publishes events beside many subscriptions that they do not concern.

use std::hint::black_box;

use futures_util::FutureExt;
use gungraun::{library_benchmark, library_benchmark_group};
use stentor_hub::storage::Budget;
use stentor_hub::{
    Consumer, Event, Filters, Hub, Publish, Start, Subscribed, Subscription, TopicName, TryRead,
};

use crate::hub::{full, send};
use crate::json;

/// Live groups that a publisher wakes as in a shard.
struct Groups {
    hub: Hub,
    consumer: Consumer,
    live: Vec<Subscription>,
    /// Readers that wait for room in their sockets.
    stuck: Vec<Subscription>,
    ready: Vec<usize>,
    waiting: Vec<Publish>,
}

impl Groups {
    fn publish(&mut self) {
        for event in self.waiting.drain(..) {
            send(&self.hub, event);
            self.consumer.take_ready(&mut self.ready);
            assert_eq!(self.ready.len(), 1, "one group matches");
            for key in self.ready.drain(..) {
                let Some(group) = self.live.get_mut(key) else { continue };
                group.rearm();
                let TryRead::Batch(batch) = group.try_read(Budget::default()) else {
                    unreachable!("nothing to read")
                };
                black_box(batch);
            }
        }
    }

    /// Returns the groups after a few events, with more events to publish.
    fn ready_to_publish(mut self) -> Groups {
        for count in [10, 100] {
            self.publish();
            let topic = TopicName::new("user/7/inbox").expect("a name");
            let event = || Publish::event(topic.clone(), Event::new(json(100)));
            self.waiting = std::iter::repeat_with(event).take(count).collect();
        }
        self
    }
}

fn group(hub: &Hub, consumer: &Consumer, key: usize, filter: &str) -> Subscription {
    let filters = Filters::new([filter.parse().expect("a filter")]).expect("filters");
    let subscribe = hub.subscribe(filters, Start::Now).now_or_never();
    let Some(Ok(Subscribed::Open(mut group))) = subscribe else { unreachable!("not open") };
    group.notify(consumer, key);
    let _ = group.try_read(Budget::default());
    *group
}

fn patterns(count: usize) -> Groups {
    let (hub, consumer) = (full(), Consumer::new());
    let filter = |key: usize| format!("user/{key}/*");
    let live = (0..count).map(|key| group(&hub, &consumer, key, &filter(key))).collect();
    let (ready, waiting) = (Vec::new(), Vec::new());
    Groups { hub, consumer, live, stuck: Vec::new(), ready, waiting }.ready_to_publish()
}

/// Returns one group, and `count` readers that have left a group of `topic` because their sockets have no room.
fn stuck((count, topic): (usize, &str)) -> Groups {
    let mut groups = patterns(10);
    let own = group(&groups.hub, &groups.consumer, usize::MAX, topic);
    let (position, losses) = (own.cursor().offset, own.losses_reported());
    groups.stuck = (0..count).map(|_| own.fork(position, losses, [])).collect();
    groups
}

#[library_benchmark(setup = patterns)]
#[bench::a_hundred_events_beside_10_patterns(10)]
#[bench::a_hundred_events_beside_10000_patterns(10_000)]
#[bench::a_hundred_events_beside_50000_patterns(50_000)]
fn beside_patterns(mut groups: Groups) -> Groups {
    groups.publish();
    groups
}

#[library_benchmark(setup = stuck)]
#[bench::a_hundred_events_beside_50000_stuck_readers_of_another_topic((50_000, "user/8/inbox"))]
#[bench::a_hundred_events_beside_50000_stuck_readers_of_the_topic((50_000, "user/7/inbox"))]
fn beside_stuck_readers(mut groups: Groups) -> Groups {
    groups.publish();
    groups
}

library_benchmark_group!(name = wake, benchmarks = [beside_patterns, beside_stuck_readers]);
