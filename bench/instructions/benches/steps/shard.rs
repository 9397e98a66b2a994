//! Publishes events that a shard writes to all readers of their topic.

use std::hint::black_box;
use std::io::{self, IoSlice};

use futures_util::FutureExt;
use gungraun::{library_benchmark, library_benchmark_group};
use http::Version;
use mio::Token;
use stentor_hub::{Filters, Hub, Publish, Start};
use stentor_server::shard::{Arrival, Finish, Readiness, Registrar, Shard, Transport, Written};
use stentor_server::{Stentor, StreamOptions};
use tokio::time::Instant;

use crate::hub::{events, full, send, topic};

/// A transport with unlimited room.
struct Sink;

impl Transport for Sink {
    fn write(&mut self, bytes: &[u8]) -> Written {
        Written::Bytes(black_box(bytes).len())
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> Written {
        Written::Bytes(black_box(pieces).iter().map(|piece| piece.len()).sum())
    }

    fn discard_input(&mut self, _: usize) -> Option<usize> {
        Some(0)
    }

    fn finish(&mut self) -> Finish {
        Finish::Done
    }

    fn watch(&mut self, _: &Registrar<'_>, _: Token, _: Readiness, _: bool) -> io::Result<()> {
        Ok(())
    }
}

struct FanOut {
    hub: Hub,
    shard: Shard<Sink>,
    now: Instant,
    waiting: Vec<Publish>,
}

impl FanOut {
    fn publish(&mut self) {
        for event in self.waiting.drain(..) {
            send(&self.hub, event);
            self.shard.turn(self.now);
            while self.shard.has_work() {
                self.shard.turn(self.now);
            }
        }
    }
}

/// Returns a shard whose readers have received the first events.
fn shard_with(readers: usize) -> FanOut {
    let (hub, now) = (full(), Instant::now());
    let stentor = Stentor::new(hub.clone());
    let mut shard = Shard::new(stentor.metrics().clone(), now).expect("a shard");
    for _ in 0..readers {
        let (filters, version) = (Filters::topic(topic()), Version::HTTP_11);
        let stream = stentor.stream(filters, Start::Now, StreamOptions::new(version));
        let Some(Ok(mut response)) = stream.now_or_never() else { unreachable!("no stream") };
        shard.adopt(Arrival::new(&mut response, version, Sink).expect("a reader"));
    }
    let mut fan_out = FanOut { hub, shard, now, waiting: events(10) };
    fan_out.publish();
    let delivered = format!("delivered_events_total {}\n", 10 * readers);
    assert!(stentor.metrics().to_text(&fan_out.hub).contains(&delivered), "not {delivered}");
    fan_out.waiting = events(10);
    fan_out
}

#[library_benchmark(setup = shard_with)]
#[bench::ten_events_to_1_reader(1)]
#[bench::ten_events_to_100_readers(100)]
#[bench::ten_events_to_10000_readers(10_000)]
fn write_all(mut fan_out: FanOut) -> FanOut {
    fan_out.publish();
    fan_out
}

library_benchmark_group!(name = fan_out, benchmarks = write_all);
