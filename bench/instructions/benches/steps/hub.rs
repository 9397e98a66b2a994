//! Publishes events to a log in memory and reads them.

use std::hint::black_box;

use futures_util::FutureExt;
use gungraun::{library_benchmark, library_benchmark_group};
use stentor_hub::storage::Budget;
use stentor_hub::{
    Event, Filters, Form, Hub, MemoryStorage, Publish, Start, Subscribed, Subscription, TopicName,
    TryRead,
};

use crate::json;

/// Number of events published before the count starts, so that the log and its live window are full, as in a server
/// that has run for a while.
const EARLIER: usize = 1_000;
const LOG_BYTES: usize = 256 << 10;
const WINDOW_BYTES: usize = 128 << 10;

pub(crate) fn full() -> Hub {
    let hub = Hub::with_window(MemoryStorage::with_bytes(LOG_BYTES), WINDOW_BYTES);
    for event in events(EARLIER) {
        send(&hub, event);
    }
    hub
}

pub(crate) fn events(count: usize) -> Vec<Publish> {
    (0..count).map(|_| Publish::event(topic(), Event::new(json(100)))).collect()
}

pub(crate) fn topic() -> TopicName {
    TopicName::new("news/today").expect("a name")
}

pub(crate) fn send(hub: &Hub, event: Publish) {
    let published = hub.publish(event).now_or_never();
    black_box(published.expect("a log in memory never waits").expect("published"));
}

struct Publishing {
    hub: Hub,
    reader: Option<Subscription>,
    waiting: Vec<Publish>,
}

impl Publishing {
    fn publish(&mut self) {
        for event in self.waiting.drain(..) {
            send(&self.hub, event);
            let Some(reader) = &mut self.reader else { continue };
            let TryRead::Batch(batch) = reader.try_read(Budget::default()) else {
                unreachable!("nothing to read")
            };
            for record in batch.records {
                black_box(record.frame(Form::Plain).chunk());
            }
        }
    }
}

fn publishing(readers: usize) -> Publishing {
    let hub = full();
    let reader = (readers > 0).then(|| {
        let subscribe = hub.subscribe(Filters::topic(topic()), Start::Now).now_or_never();
        let Some(Ok(Subscribed::Open(reader))) = subscribe else { unreachable!("not open") };
        *reader
    });
    let mut publishing = Publishing { hub, reader, waiting: events(100) };
    publishing.publish();
    publishing.waiting = events(100);
    publishing
}

#[library_benchmark(setup = publishing)]
#[bench::a_hundred_events_to_no_reader(0)]
#[bench::a_hundred_events_to_one_reader(1)]
fn publish_all(mut publishing: Publishing) -> Publishing {
    publishing.publish();
    publishing
}

library_benchmark_group!(name = publish, benchmarks = publish_all);
