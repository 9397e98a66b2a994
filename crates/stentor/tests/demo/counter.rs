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
    assert_eq!(first.data(3).await, ["1", "2", "3"]);
    let mut second = server.subscribe("/event").await;
    let fourth = first.next().await.unwrap();
    assert_eq!(fourth.data, "4");
    // It joins with the number of the moment, and from there both see the same events.
    let mut joined = second.next().await.unwrap();
    if joined.data == "3" {
        joined = second.next().await.unwrap();
    }
    assert_eq!(joined, fourth);
    for expected in [5, 6] {
        let (ours, theirs) = (first.next().await.unwrap(), second.next().await.unwrap());
        assert_eq!(ours, theirs);
        assert_eq!(ours.data, expected.to_string());
    }
}

#[tokio::test]
async fn the_count_rests_without_readers_and_goes_on_from_where_it_was() {
    let mut server = Server::with(&["demo", "counter"]).await;
    let mut reader = server.subscribe("/event").await;
    assert_eq!(reader.data(2).await, ["1", "2"]);
    drop(reader);
    // That nothing happens can only be seen by waiting: four ticks, of which the first may still
    // fall into the moment of leaving.
    sleep(Duration::from_secs(4)).await;
    let mut reader = server.subscribe("/event").await;
    let last = number(&mut reader).await;
    assert!((2..=3).contains(&last), "it went on to {last}");
    assert_eq!(number(&mut reader).await, last + 1);

    server.kill_and_restart().await;
    let mut reader = server.subscribe("/event").await;
    let last = number(&mut reader).await;
    assert!(last > 2, "it began anew with {last}");
    assert_eq!(number(&mut reader).await, last + 1);
}
