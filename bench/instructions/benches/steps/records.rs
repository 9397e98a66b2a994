//! Encodes records as frames.

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group};
use stentor_hub::{
    Attributes, Body, Epoch, Event, EventType, Form, Offset, Record, Timestamp, TopicName,
};

use crate::json;

struct Records {
    form: Form,
    records: Vec<Record>,
}

impl Records {
    fn new(count: u64, form: Form, data: &str) -> Records {
        let update = EventType::new("update").expect("a type");
        let record = |n| {
            Record::new(
                Epoch::new(1 << 49),
                Offset::new(1_000_000 + n),
                Timestamp::from_micros(1_700_000_000_000_001),
                TopicName::new("news/today").expect("a name"),
                Body::Event(Event::new(data).with_type(update.clone())),
                Attributes::default(),
            )
        };
        Records { form, records: (0..count).map(record).collect() }
    }

    fn encode(&self) {
        for record in &self.records {
            black_box(record.frame(self.form));
        }
    }
}

/// Creates `count` events with this data. Encodes `count` others first, as a warm-up.
fn records(count: u64, form: Form, data: &str) -> Records {
    Records::new(count, form, data).encode();
    Records::new(count, form, data)
}

#[library_benchmark(setup = records)]
#[bench::a_hundred_small_events(100, Form::Plain, &json(100))]
#[bench::ten_events_of_a_hundred_lines(10, Form::Plain, &format!("{}\n", json(20)).repeat(100))]
#[bench::ten_large_events(10, Form::Plain, &json(64 << 10))]
#[bench::a_hundred_small_envelopes(100, Form::Envelope, &json(100))]
#[bench::ten_large_envelopes(10, Form::Envelope, &json(64 << 10))]
fn encode_all(records: Records) -> Records {
    records.encode();
    records
}

library_benchmark_group!(name = encode, benchmarks = encode_all);
