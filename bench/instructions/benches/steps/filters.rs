//! Matches topics against filters.

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group};
use stentor_hub::{Filters, TopicName};

/// Returns the maximum number of filters of a subscription, and a topic. The last filter matches it, or none does.
fn filters(pattern: &str) -> (Filters, TopicName) {
    let filter = |n: usize| pattern.replace('N', &n.to_string()).parse().expect("a filter");
    let topic = TopicName::new("sites/63/rooms/kitchen/light").expect("a name");
    (Filters::new((0..Filters::MAX).map(filter)).expect("filters"), topic)
}

#[library_benchmark(setup = filters)]
#[bench::the_last_of_64_names("sites/N/rooms/kitchen/light")]
#[bench::the_last_of_64_patterns("sites/N/*/kitchen/*")]
#[bench::the_last_of_64_open_patterns("sites/N/**")]
#[bench::none_of_64_patterns("sites/*/*/N/*")]
fn matches((filters, topic): (Filters, TopicName)) -> (Filters, TopicName) {
    black_box(filters.matches(&topic));
    (filters, topic)
}

library_benchmark_group!(name = filter, benchmarks = matches);
