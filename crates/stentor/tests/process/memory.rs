//! The memory of the server stays bounded, even with clients that do not read or never stop sending.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::{
    EventStream, Server, StreamMode, TIMEOUT, after_first_line, dechunk, unique_text,
};

/// Maximum memory of a server, in bytes. It is far more than a server needs, and far less than the events that wait for
/// all readers together.
const MEMORY_MAX: usize = 200 << 20;
/// Sizes of the events, in bytes.
const LARGE: usize = 64 << 10;
const SMALL: usize = 4 << 10;

/// Publishes `count` events of `bytes` bytes that begin with their number. Returns the largest memory of the server in
/// that time.
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

/// Reads up to event number `last`, and resumes after the last id when the stream is cut.
async fn catch_up(server: &Server, mut stream: EventStream, last: usize) {
    let (mut next, mut id) = (0, String::new());
    while next <= last {
        match stream.try_next().await {
            Ok(Some(event)) if event.name == "stentor.cursor" => id = event.id,
            Ok(Some(event)) => {
                assert_eq!(event.name, "message", "an event of the topic: {}", event.data);
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

/// Maximum growth of the server, its log included, while 160 MiB wait for stuck readers.
const GROWTH_MAX: usize = 80 << 20;

/// Reads a stream to its end, and returns its bytes.
async fn whole(mut socket: TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    timeout(TIMEOUT, socket.read_to_end(&mut received))
        .await
        .expect("the stream ends in time")
        .expect("no reset");
    let head = received.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (text, _, ended) = dechunk(&received[head..]);
    assert!(ended, "no clean end after {} bytes", text.len());
    text
}

#[tokio::test]
async fn forty_stuck_readers_among_a_hundred_do_not_hurt_the_others() {
    const READERS: usize = 100;
    const EVENTS: usize = 1_000;
    const BYTES: usize = 4_096;
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let mut stuck = Vec::new();
        let mut good = JoinSet::new();
        for number in 0..READERS {
            let socket = server.get("/topics/t").connect().await;
            // Two of five do not read.
            if number % 5 < 2 {
                stuck.push(socket);
            } else {
                good.spawn(whole(socket));
            }
        }
        server.until_metric("stentor_streams_open", i64::try_from(READERS).unwrap()).await;
        let before = server.memory();
        for first in (0..EVENTS).step_by(50) {
            let lines = (first..first + 50).map(|number| unique_text(number, BYTES));
            server.publish_each("/topics/t", lines).await;
        }
        server.publish("/topics/t?end", "").await;
        let texts = good.join_all().await;
        let growth = server.memory().saturating_sub(before);
        assert!(growth < GROWTH_MAX, "{growth} bytes");
        assert!(texts[0].len() > EVENTS * BYTES);
        assert!(texts.iter().all(|text| after_first_line(text) == after_first_line(&texts[0])));
        // The readers that had stopped get all events and the end, too.
        let open = server.metric("stentor_streams_open").await;
        assert!(open > 0, "more waits for each stopped reader than its socket holds");
        for socket in stuck {
            assert!(after_first_line(&whole(socket).await) == after_first_line(&texts[0]));
        }
        server.until_metric("stentor_streams_open", 0).await;
    }
}

/// Maximum memory of a server with `--memory`, in addition to its log.
const FLOODED_MEMORY_MAX: usize = 64 << 20;
/// Number of bytes that a flooding client sends.
const FLOOD_BYTES: usize = 32 << 20;

#[tokio::test]
async fn a_client_that_never_stops_sending_costs_no_memory_and_disturbs_no_reader() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let mut other = server.subscribe("/topics/t").await;
        other.position().await;
        let mut floods = Vec::new();
        for _ in 0..4 {
            let mut socket = server.get("/topics/t").connect().await;
            floods.push(tokio::spawn(async move {
                let noise = vec![b'x'; 1 << 16];
                // The server may read it, leave it, or close the connection.
                for _ in 0..FLOOD_BYTES / noise.len() {
                    if socket.write_all(&noise).await.is_err() {
                        break;
                    }
                }
                socket
            }));
        }
        for number in 0..100 {
            server.publish("/topics/t", number.to_string()).await;
            assert_eq!(other.data(1).await, [number.to_string()]);
        }
        let memory = server.memory();
        assert!(memory < FLOODED_MEMORY_MAX, "{memory} bytes");
        for flood in floods {
            flood.abort();
            // Closes the connection, even if not all bytes were sent.
            drop(flood.await);
        }
        drop(other);
        // If the server did not read the bytes, it notices the close at its next write.
        let noticed = timeout(TIMEOUT, async {
            while server.metric("stentor_streams_open").await > 0 {
                server.publish("/topics/t", "probe").await;
            }
        });
        noticed.await.expect("the server notices in time");
        server.until_metric("stentor_connections_open", 1).await;
    }
}

/// Memory that a server may keep after a peak, in bytes.
const KEPT_MAX: usize = 24 << 20;

#[tokio::test]
#[ignore = "needs a quiet machine; `./test --long` runs it"]
async fn the_memory_of_a_peak_is_given_back_within_a_minute_without_requests() {
    const READERS: i64 = 1_500;
    let server = Server::start().await;
    let start = server.memory();
    let mut most = start;
    for round in 0..4 {
        let mut readers = Vec::new();
        for number in 0..READERS {
            readers.push(server.get(&format!("/topics/{round}/{number}")).connect().await);
        }
        server.until_metric("stentor_streams_open", READERS).await;
        most = most.max(server.memory());
        drop(readers);
        server.until_metric("stentor_streams_open", 0).await;
    }
    eprintln!("{} MiB, then {} MiB", start >> 20, most >> 20);
    let given_back = timeout(std::time::Duration::from_mins(1), async {
        while server.memory() > start + KEPT_MAX {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    assert!(given_back.await.is_ok(), "{} bytes are kept", server.memory());
}
