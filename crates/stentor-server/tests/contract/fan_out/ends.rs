//! The end of a topic reaches all its readers, in every state.

use crate::harness::{EventStream, Server, StreamMode, assert_end};

const READERS: usize = 100;

async fn open(server: &Server, count: usize, path: &str) -> Vec<EventStream> {
    let mut open = Vec::new();
    for _ in 0..count {
        let mut stream = server.subscribe(path).await;
        stream.position().await;
        open.push(stream);
    }
    open
}

#[tokio::test]
async fn all_readers_of_a_topic_end_cleanly_with_it_and_get_204_from_then_on() {
    for mode in StreamMode::ALL {
        let server = Server::start_with(mode).await;
        let mut readers = open(&server, READERS, "/topics/t").await;
        let mut others = open(&server, 3, "/topics/other").await;
        // Some readers have sent bytes after the request. That must not turn the end into a reset.
        for reader in readers.iter_mut().step_by(3) {
            reader.send(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        }
        server.publish("/topics/t?end=done", "last").await;
        for mut reader in readers {
            let rest = reader.rest().await;
            assert_eq!((rest.len(), rest[0].data.as_str()), (2, "last"));
            assert_end(&rest[1], "t", "done");
            let again = server.get("/topics/t").header("Last-Event-ID", &rest[1].id);
            assert_eq!(again.send().await.status, 204);
            reader.closed().await;
        }
        server.publish("/topics/other", "continues").await;
        for other in &mut others {
            assert_eq!(other.data(1).await, ["continues"]);
        }
        server.until_metric("stentor_streams_open", 3).await;
    }
}

#[tokio::test]
async fn a_reader_of_several_topics_ends_with_the_last_of_them() {
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let readers = open(&server, 5, "/events?topic=a&topic=b&topic=c").await;
        let mut pattern = server.subscribe("/events?topic=a&topic=*").await;
        pattern.position().await;
        for topic in ["c", "a", "b"] {
            server.publish(&format!("/topics/{topic}?end=done"), topic).await;
        }
        for mut reader in readers {
            let rest = reader.rest().await;
            assert_eq!(rest.len(), 6);
            for (two, topic) in rest.chunks(2).zip(["c", "a", "b"]) {
                assert_eq!(two[0].data, topic);
                assert_end(&two[1], topic, "done");
            }
            reader.closed().await;
        }
        server.publish("/topics/d", "continues").await;
        for _ in 0..6 {
            pattern.next().await.unwrap();
        }
        assert_eq!(pattern.data(1).await, ["continues"]);
    }
}

#[tokio::test]
async fn the_readers_of_a_topic_that_is_deleted_end_with_it() {
    for mode in StreamMode::BOTH {
        let server = Server::start_with(mode).await;
        server.publish("/topics/t", "before").await;
        let readers = open(&server, 20, "/topics/t").await;
        let mut pattern = server.subscribe("/events?topic=**").await;
        pattern.position().await;
        assert_eq!(server.delete("/topics/t").send().await.status, 204);
        for mut reader in readers {
            assert_end(&reader.next_any().await.unwrap(), "t", "deleted");
            assert_eq!(reader.next_any().await, None);
            reader.closed().await;
        }
        assert_end(&pattern.next().await.unwrap(), "t", "deleted");
        server.publish("/topics/t", "again").await;
        assert_eq!(pattern.data(1).await, ["again"]);
    }
}

#[tokio::test]
async fn a_reader_that_had_stopped_gets_all_and_then_the_end() {
    const EVENTS: usize = 40;
    for mode in StreamMode::BOTH {
        let server = Server::in_memory_with(mode).await;
        let mut stuck = Vec::new();
        for _ in 0..4 {
            stuck.push(server.get("/topics/t").connect().await);
        }
        server.until_metric("stentor_streams_open", 4).await;
        for number in 0..EVENTS {
            server.publish("/topics/t", format!("{number} {}", "x".repeat(1 << 18))).await;
        }
        server.publish("/topics/t?end=done", "").await;
        server.until_stable("stentor_delivered_bytes_total").await;
        for socket in stuck {
            let mut stream = EventStream::begin(socket).await;
            stream.position().await;
            let rest = stream.rest().await;
            assert_eq!(rest.len(), EVENTS + 1);
            for (number, event) in rest[..EVENTS].iter().enumerate() {
                assert!(event.data.starts_with(&format!("{number} ")));
            }
            assert_end(&rest[EVENTS], "t", "done");
            stream.closed().await;
        }
    }
}
