//! The moment in which a connection becomes a stream: what came before it, how the request is written,
//! what comes behind it, and clients that leave just then.

mod before;
mod behind;
mod half_closed;
mod request;
mod searching;

use crate::harness::{EventStream, Server};

/// Asserts that this is an open stream of the topic `t`: what is published now comes, and nothing else, up
/// to the end.
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

/// The same of one that begins with its position, in a topic to which nobody else published.
async fn streams_alone(server: &Server, mut stream: EventStream) {
    stream.position().await;
    streams_on(server, stream).await;
    assert_eq!(server.history_data("/topics/t").await, ["new 0", "new 1", "new 2"]);
    assert_eq!(server.metric("stentor_streams_total").await, 1, "one request, one stream");
}
