//! Readers that stop reading do not slow the others, and lose nothing.

use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::harness::{
    EventStream, Server, StreamMode, TIMEOUT, after_first_line, dechunk, get, unique_text,
};

/// Sizes of events: some fit into one write, others need several.
const SIZES: [usize; 12] =
    [1, 100, 4_096, 16_383, 65_535, 65_536, 100_000, 1 << 17, (1 << 18) + 1, 1_000_000, 7, 2 << 20];

#[tokio::test]
async fn readers_that_stop_and_continue_get_every_byte_and_the_others_do_not_wait() {
    for mode in StreamMode::BOTH {
        let server = Server::start_with(mode).await;
        let mut live = server.subscribe("/topics/t").await;
        live.position().await;
        let mut stuck = Vec::new();
        for version in ["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"] {
            let mut connection = server.connect().await;
            connection.send(get("/topics/t").replace("HTTP/1.1", version)).await;
            stuck.push(connection);
        }
        server.until_metric("stentor_streams_open", 4).await;
        for (number, bytes) in SIZES.into_iter().cycle().take(2 * SIZES.len()).enumerate() {
            let data = unique_text(number, bytes);
            server.publish("/topics/t", data.as_str()).await;
            assert!(live.next_any().await.unwrap().data == data, "event {number} of {bytes} bytes");
        }
        server.publish("/topics/t?end", "").await;
        assert_eq!(live.next_any().await.unwrap().name, "stentor.end");
        for connection in stuck {
            let mut stream = connection.stream().await;
            assert_eq!(stream.rest().await.len(), 2 * SIZES.len() + 1);
            assert!(after_first_line(&stream.text) == after_first_line(&live.text));
            stream.closed().await;
        }
    }
}

#[tokio::test]
async fn a_reader_of_a_few_bytes_at_a_time_gets_every_one_of_them() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let mut slow = server.get("/topics/t").connect().await;
        server.until_metric("stentor_streams_open", 1).await;
        let mut wanted = Vec::new();
        let mut received = Vec::new();
        for number in 0..60 {
            let data = unique_text(number, 40_000);
            server.publish("/topics/t", data.as_str()).await;
            wanted.push(data);
            // Reads a little between events, so that the stream stops at a different byte each time.
            let mut few = vec![0; 7_919];
            slow.read_exact(&mut few[..1_000 + 115 * number]).await.unwrap();
            received.extend_from_slice(&few[..1_000 + 115 * number]);
        }
        server.publish("/topics/t?end", "").await;
        timeout(TIMEOUT, slow.read_to_end(&mut received))
            .await
            .expect("the stream ends in time")
            .expect("no reset");
        let head = received.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let (text, used, ended) = dechunk(&received[head..]);
        assert!(ended && used == received.len() - head);
        let text = String::from_utf8(text).unwrap();
        let got = text.lines().filter_map(|line| line.strip_prefix("data: "));
        let got: Vec<_> = got.filter(|data| !data.is_empty() && !data.starts_with('{')).collect();
        assert!(got == wanted);
    }
}

#[tokio::test]
async fn stuck_readers_get_the_events_of_their_own_filters() {
    for mode in StreamMode::BOTH {
        let server = Server::start_with(mode).await;
        let mut stuck = Vec::new();
        for path in ["/topics/t", "/events?topic=*&topic=t", "/topics/t?envelope=json"] {
            stuck.push(server.get(path).connect().await);
        }
        server.until_metric("stentor_streams_open", 3).await;
        publish_much(&server).await;
        let mut lengths = Vec::new();
        for socket in stuck {
            let mut stream = EventStream::begin(socket).await;
            let mut events = Vec::new();
            while let Some(event) = stream.next().await
                && event.name != "stentor.end"
            {
                events.push(event.id);
            }
            assert!(events.is_sorted_by(|one, next| one < next));
            lengths.push(events.len());
        }
        assert_eq!(lengths, [30, 60, 30]);
    }
}

/// Publishes events to two topics in turn, and ends both.
async fn publish_much(server: &Server) {
    for number in 0..30 {
        for topic in ["other", "t"] {
            server.publish(&format!("/topics/{topic}"), unique_text(number, 120_000)).await;
        }
    }
    server.publish("/topics/t?end", "").await;
}
