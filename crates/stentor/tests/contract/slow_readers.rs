//! Readers that stop reading under load cost the server nothing that grows, and lose nothing.

use serde_json::Value;

use crate::harness::{EventStream, Server};

/// What a server may take for itself, whatever waits for its readers: far more than it does, and far
/// less than what waits for them in all.
const MEMORY_MAX: usize = 200 << 20;
/// The size of the larger and of the smaller events.
const LARGE: usize = 64 << 10;
const SMALL: usize = 4 << 10;

/// Publishes so many events of this size, which begin with their number, and gives the memory that the
/// server had at most meanwhile.
async fn flood(server: &Server, count: usize, bytes: usize) -> usize {
    const SLICE: usize = 50;
    let mut most = 0;
    for first in (0..count).step_by(SLICE) {
        let lines = (first..count.min(first + SLICE)).map(|number| event(number, bytes));
        server.publish_each("/topics/flood", lines).await;
        most = most.max(server.memory());
    }
    most
}

fn event(number: usize, bytes: usize) -> String {
    format!("{number:0>8}{}", "x".repeat(bytes - 8))
}

/// Reads on until the event with this number, coming back by its last id whenever it is cut.
async fn catch_up(server: &Server, mut stream: EventStream, last: usize) {
    let (mut next, mut id) = (0, String::new());
    while next <= last {
        match stream.try_next().await {
            Ok(Some(event)) if event.name == "stentor.cursor" => id = event.id,
            Ok(Some(event)) => {
                assert_eq!(event.name, "message", "nothing else is told: {}", event.data);
                assert_eq!(event.data[..8].parse::<usize>(), Ok(next));
                (next, id) = (next + 1, event.id);
                stream.text.clear();
            }
            Ok(None) | Err(_) => stream = server.resume("/topics/flood", &id).await,
        }
    }
}

#[tokio::test]
async fn a_reader_that_stops_under_load_catches_up_and_the_memory_stays_bounded() {
    let server = Server::start().await;
    let mut stopped = server.subscribe("/topics/flood").await;
    stopped.position().await;
    let most = flood(&server, 1_200, LARGE).await;
    catch_up(&server, stopped, 1_199).await;
    assert!(most < MEMORY_MAX, "{most} bytes while 75 MiB waited for a reader");
    let page: Value = server.page("/topics/flood?last=1").await;
    assert!(page["next"].is_null());
}

#[tokio::test]
async fn a_hundred_stopped_readers_catch_up_and_the_memory_stays_bounded() {
    const READERS: usize = 100;
    let server = Server::start().await;
    let mut stopped = Vec::new();
    for _ in 0..READERS {
        let mut stream = server.subscribe("/topics/flood").await;
        stream.position().await;
        stopped.push(stream);
    }
    // 100 readers times 8 MiB.
    let most = flood(&server, 2_048, SMALL).await;
    assert!(most < MEMORY_MAX, "{most} bytes while 800 MiB waited for {READERS} readers");
    for stream in stopped {
        catch_up(&server, stream, 2_047).await;
    }
    let after = server.memory();
    assert!(after < MEMORY_MAX, "{after} bytes when all had caught up");
}
