//! `stentor demo counter`.

use std::time::Duration;

use tokio::time::sleep;

use crate::harness::{EventStream, Server};

async fn number(reader: &mut EventStream) -> u64 {
    reader.data(1).await[0].parse().unwrap()
}

#[tokio::test]
async fn readers_share_one_count_of_bare_numbers() {
    let server = Server::with(&["demo", "counter"]).await;
    let mut first = server.subscribe("/event").await;
    first.until("\ndata: 1\n\n").await;
    let mut count = Vec::new();
    while count.len() < 3 {
        count.push(first.next().await.unwrap());
    }
    // The second reader starts with the current number. From then on both receive the same events.
    let mut second = server.subscribe("/event").await;
    let mut shared = Vec::new();
    while shared.len() < 4 {
        shared.push(second.next().await.unwrap());
    }
    while count.last() != shared.last() && count.len() < 60 {
        count.push(first.next().await.unwrap());
    }
    let expected: Vec<String> = (1..=count.len()).map(|number| number.to_string()).collect();
    assert_eq!(count.iter().map(|event| event.data.clone()).collect::<Vec<_>>(), expected);
    assert!(count.ends_with(&shared), "{count:?} {shared:?}");
    assert!(count.len() - shared.len() >= 2, "the second reader started another count: {shared:?}");
}

#[tokio::test]
async fn the_count_pauses_without_readers_and_continues_after_a_restart() {
    let mut server = Server::with(&["demo", "counter"]).await;
    let mut reader = server.subscribe("/event").await;
    assert_eq!(reader.data(2).await, ["1", "2"]);
    drop(reader);
    // Wait for four ticks, in which the count must not change. The first tick may still belong to the reader that left.
    sleep(Duration::from_secs(4)).await;
    let mut reader = server.subscribe("/event").await;
    let last = number(&mut reader).await;
    assert!((2..=3).contains(&last), "the count continued to {last}");
    assert_eq!(number(&mut reader).await, last + 1);

    server.kill_and_restart().await;
    let mut reader = server.subscribe("/event").await;
    let last = number(&mut reader).await;
    assert!(last > 2, "the count started again at {last}");
    assert_eq!(number(&mut reader).await, last + 1);
}
