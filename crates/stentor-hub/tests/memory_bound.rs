//! The memory that a hub over a log in memory takes. In a process of its own, because it measures the process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use stentor_hub::storage::Budget;
use stentor_hub::{
    Event, Filters, Form, Hub, MemoryStorage, Publish, Start, Subscribed, TopicName, TryRead,
};

const LOG_BYTES: usize = 16 << 20;
/// They take about four times the log.
const EVENTS: usize = 80_000;

/// The resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() << 10
}

#[tokio::test]
async fn a_log_in_memory_whose_events_were_all_read_takes_its_size_and_not_a_window_besides() {
    let hub = Hub::new(MemoryStorage::with_bytes(LOG_BYTES));
    let topic = TopicName::new("news").unwrap();
    let subscribed = hub.subscribe(Filters::topic(topic.clone()), Start::Now).await.unwrap();
    let Subscribed::Open(mut reader) = subscribed else { panic!("the topic is open") };
    let before = resident();
    for _ in 0..EVENTS {
        hub.publish(Publish::event(topic.clone(), Event::new("x".repeat(200)))).await.unwrap();
        let TryRead::Batch(batch) = reader.try_read(Budget::default()) else { panic!("an event") };
        for record in batch.records {
            assert!(record.frame(Form::Plain).len() > 200);
        }
    }
    let taken = resident() - before;
    // The allocator of this test wastes more than that of the binary.
    assert!(taken < LOG_BYTES + LOG_BYTES / 2, "{taken} bytes for a log of {LOG_BYTES}");
    assert!(taken > LOG_BYTES / 2, "{taken} bytes for a log of {LOG_BYTES}");
}
