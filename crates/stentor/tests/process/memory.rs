//! The memory of the server stays bounded, whatever its clients do.

use std::fmt::Write;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::harness::{EventStream, Server, StreamMode, TIMEOUT, dechunk};

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

/// Maximum growth of the server, its log included, while 160 MiB wait for stuck readers.
const GROWTH_MAX: usize = 80 << 20;

/// Returns the data of an event: `bytes` bytes, of which no two parts are equal.
fn data(number: usize, bytes: usize) -> String {
    let mut text = format!("{number}:");
    while text.len() < bytes {
        let _ = write!(text, "{number}.{} ", text.len());
    }
    text.truncate(bytes);
    text
}

/// Returns the bytes of a stream after its first line, which differs between streams.
fn after_retry(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap();
    &text[end..]
}

/// Reads a whole stream, and gives its text.
async fn whole(mut socket: TcpStream) -> Vec<u8> {
    let mut came = Vec::new();
    timeout(TIMEOUT, socket.read_to_end(&mut came)).await.expect("an end").expect("no reset");
    let head = came.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (text, _, ended) = dechunk(&came[head..]);
    assert!(ended, "no clean end after {} bytes", text.len());
    text
}

#[tokio::test]
async fn forty_stuck_readers_among_a_hundred_hurt_nobody() {
    const READERS: usize = 100;
    const EVENTS: usize = 1_000;
    const BYTES: usize = 4_096;
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let mut stuck = Vec::new();
        let mut good = JoinSet::new();
        for number in 0..READERS {
            let socket = server.get("/topics/t").connect().await;
            // Two of five.
            if number % 5 < 2 {
                stuck.push(socket);
            } else {
                good.spawn(whole(socket));
            }
        }
        server.until_metric("stentor_streams_open", i64::try_from(READERS).unwrap()).await;
        let before = server.memory();
        for first in (0..EVENTS).step_by(50) {
            let lines = (first..first + 50).map(|number| data(number, BYTES));
            server.publish_each("/topics/t", lines).await;
        }
        server.publish("/topics/t?end", "").await;
        let texts = good.join_all().await;
        let growth = server.memory().saturating_sub(before);
        assert!(growth < GROWTH_MAX, "{growth} bytes");
        assert!(texts[0].len() > EVENTS * BYTES);
        assert!(texts.iter().all(|text| after_retry(text) == after_retry(&texts[0])));
        // Those who had stopped get all of it, and the same end.
        let open = server.metric("stentor_streams_open").await;
        assert!(open > 0, "more waited for each of them than its socket holds");
        for socket in stuck {
            assert!(after_retry(&whole(socket).await) == after_retry(&texts[0]));
        }
        server.until_metric("stentor_streams_open", 0).await;
    }
}

/// Maximum memory of a server in memory mode, beside its log.
const FLOODED_MEMORY_MAX: usize = 64 << 20;
/// Number of bytes that a flooding client sends.
const FLOOD_BYTES: usize = 32 << 20;

#[tokio::test]
async fn a_client_that_never_stops_sending_costs_no_memory_and_disturbs_nobody() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let mut other = server.subscribe("/topics/t").await;
        other.position().await;
        let mut floods = Vec::new();
        for _ in 0..4 {
            let mut socket = server.get("/topics/t").connect().await;
            floods.push(tokio::spawn(async move {
                let noise = vec![b'x'; 1 << 16];
                // The server may take it, leave it, or close the connection.
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
            // However far it came, it is gone now.
            drop(flood.await);
        }
        drop(other);
        // A client whose bytes were left alone is missed when something is written to it.
        let missed = timeout(TIMEOUT, async {
            while server.metric("stentor_streams_open").await > 0 {
                server.publish("/topics/t", "is anybody there?").await;
            }
        });
        missed.await.expect("they are missed");
        server.until_metric("stentor_connections_open", 1).await;
    }
}
