//! Readers that are far behind get all events, while the others continue.

use tokio::task::JoinSet;

use crate::harness::{EventStream, Server, StreamMode};

/// More events than the live window holds.
const EVENTS: usize = 600;
const BYTES: usize = 64 << 10;

fn data(number: usize) -> String {
    format!("{number:0>8}{}", "x".repeat(BYTES - 8))
}

async fn with_history(mode: StreamMode) -> Server {
    let server = Server::start_with(mode).await;
    for first in (0..EVENTS).step_by(100) {
        server.publish_each("/topics/t", (first..first + 100).map(data)).await;
    }
    server
}

/// Asserts that the next events are those with these numbers.
async fn read(stream: &mut EventStream, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let event = stream.next().await.unwrap();
        assert_eq!((event.name.as_str(), event.data.len()), ("message", BYTES));
        assert_eq!(event.data[..8].parse(), Ok(number));
        stream.text.clear();
    }
}

#[tokio::test]
async fn a_reader_from_the_beginning_of_a_long_log_arrives_and_stays_live() {
    for mode in StreamMode::BOTH {
        let server = with_history(mode).await;
        let mut far = server.subscribe("/topics/t?from=earliest").await;
        // Events that are published meanwhile arrive in their order.
        read(&mut far, 0..50).await;
        server.publish_each("/topics/t", (EVENTS..EVENTS + 5).map(data)).await;
        read(&mut far, 50..EVENTS + 5).await;
        for number in EVENTS + 5..EVENTS + 10 {
            server.publish("/topics/t", data(number)).await;
            read(&mut far, number..number + 1).await;
        }
    }
}

#[tokio::test]
async fn a_live_reader_does_not_wait_for_readers_that_catch_up() {
    for mode in StreamMode::BOTH {
        let server = with_history(mode).await;
        let mut live = server.subscribe("/topics/live").await;
        live.position().await;
        let mut far = JoinSet::new();
        for _ in 0..2 {
            let mut stream = server.subscribe("/topics/t?from=earliest").await;
            far.spawn(async move { read(&mut stream, 0..EVENTS).await });
        }
        let mut delivered = 0;
        while far.try_join_next().is_none() {
            server.publish("/topics/live", delivered.to_string()).await;
            assert_eq!(live.data(1).await, [delivered.to_string()]);
            delivered += 1;
        }
        assert!(delivered >= 5, "only {delivered} events while others caught up");
        far.join_all().await;
    }
}
