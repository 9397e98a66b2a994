//! A connection becomes a stream: requests before it, forms of the request, bytes after it, and clients that leave.

mod after;
mod before;
mod half_closed;
mod request;
mod searching;

use crate::harness::{EventStream, Server};

/// Asserts that `stream` is an open stream of the topic `t`: it gets the events published now, and nothing else, until
/// the end.
async fn streams_on(server: &Server, mut stream: EventStream) {
    for number in 0..3 {
        let data = format!("new {number}");
        let id = server.publish("/topics/t", data.as_str()).await;
        let event = stream.next_any().await.unwrap();
        assert_eq!((event.name.as_str(), event.data, event.id), ("message", data, id));
    }
    server.publish("/topics/t?end", "").await;
    let rest = stream.rest().await;
    assert_eq!((rest.len(), rest[0].name.as_str()), (1, "stentor.end"), "{rest:?}");
    stream.closed().await;
}

/// Asserts that `stream` begins with its position, is the only stream, and gets all events of the topic `t`.
async fn streams_alone(server: &Server, mut stream: EventStream) {
    stream.position().await;
    streams_on(server, stream).await;
    assert_eq!(server.history_data("/topics/t").await, ["new 0", "new 1", "new 2"]);
    assert_eq!(server.metric("stentor_streams_total").await, 1, "one request, one stream");
}
