//! Events are published to a log in memory, and read by the one who waits for them.

use std::hint::black_box;

use futures_util::FutureExt;
use gungraun::{library_benchmark, library_benchmark_group};
use stentor_hub::storage::Budget;
use stentor_hub::{
    Event, Filters, Form, Hub, MemoryStorage, Progress, Publish, Start, Subscribed, Subscription,
    TopicName,
};

use crate::json;

const PUBLISHES: usize = 100;
/// Before them the log and its live window are filled, as they are in a server that has run for a while.
const EARLIER: usize = 1_000;
const LOG_BYTES: usize = 256 << 10;
const WINDOW_BYTES: usize = 128 << 10;

struct Publishing {
    hub: Hub,
    reader: Option<Subscription>,
    waiting: Vec<Publish>,
}

impl Publishing {
    fn new(readers: usize) -> Publishing {
        let hub = Hub::with_window(MemoryStorage::with_bytes(LOG_BYTES), WINDOW_BYTES);
        let reader = (readers > 0).then(|| {
            let subscribe = hub.subscribe(Filters::topic(topic()), Start::Now).now_or_never();
            let Some(Ok(Subscribed::Open(reader))) = subscribe else { unreachable!("not open") };
            *reader
        });
        Publishing { hub, reader, waiting: Vec::new() }
    }

    fn fill(&mut self, count: usize) {
        let publish = |_| Publish::event(topic(), Event::new(json(100)));
        self.waiting = (0..count).map(publish).collect();
    }

    fn publish(&mut self) {
        for publish in self.waiting.drain(..) {
            let published = self.hub.publish(publish).now_or_never();
            published.expect("memory answers at once").expect("published");
            let Some(reader) = &mut self.reader else { continue };
            let Progress::Batch(batch) = reader.try_read(Budget::default()) else {
                unreachable!("nothing to read")
            };
            for record in batch.records {
                black_box(record.frame(Form::Plain).chunk());
            }
        }
    }
}

fn topic() -> TopicName {
    TopicName::new("news/today").expect("a name")
}

fn publishing(readers: usize) -> Publishing {
    let mut publishing = Publishing::new(readers);
    publishing.fill(EARLIER);
    publishing.publish();
    publishing.fill(PUBLISHES);
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
