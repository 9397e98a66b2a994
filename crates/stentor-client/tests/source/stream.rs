//! Decoding of a stream, and access to its chunks.

use futures_util::StreamExt;

use crate::source;
use crate::support::{NO_CONTENT, Server, stream};

#[tokio::test]
async fn a_cr_ends_a_block_at_once_and_a_later_lf_is_not_a_line() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection.write(&stream("data: a\r\n\r")).await;
        connection
    };
    let (mut connection, event) = tokio::join!(script, source.next());
    assert_eq!(event.unwrap().unwrap().data(), "a");

    connection.write("\ndata\n\ndata: b\r\n\r\n").await;
    assert_eq!(source.next().await.unwrap().unwrap().data(), "");
    assert_eq!(source.next().await.unwrap().unwrap().data(), "b");
}

#[tokio::test]
async fn dropping_the_future_within_an_event_loses_nothing() {
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let script = async {
        let mut connection = server.accept().await;
        connection.write(&stream(": hi\n\ndata: ha")).await;
        connection
    };
    let (mut connection, chunk) = tokio::join!(script, source.next_chunk());
    assert_eq!(chunk.unwrap().unwrap().bytes, ": hi\n");
    tokio::select! {
        biased;
        _ = source.next() => panic!("the event is incomplete"),
        () = tokio::task::yield_now() => {}
    }
    connection.write("lf\n\n").await;
    assert_eq!(source.next().await.unwrap().unwrap().data(), "half");
}

#[tokio::test]
async fn chunks_contain_every_byte_of_the_stream() {
    let body = "\u{FEFF}: hello\r\nretry: 0\n\nid: 1\rdata: x\r\rdata: cut";
    let server = Server::start().await;
    let mut source = source(&server.url("/"));
    let read = async {
        let (mut bytes, mut items) = (Vec::new(), 0);
        while let Some(chunk) = source.next_chunk().await {
            let chunk = chunk.unwrap();
            bytes.extend_from_slice(&chunk.bytes);
            items += usize::from(chunk.item.is_some());
        }
        (bytes, items)
    };
    let responses = [stream(body), NO_CONTENT.to_owned()];
    let (_, (bytes, items)) = tokio::join!(server.respond(responses), read);
    assert_eq!(String::from_utf8(bytes).unwrap(), body);
    assert_eq!(items, 3, "a comment, a retry and an event");
}

#[tokio::test]
async fn a_source_is_a_stream() {
    let server = Server::start().await;
    let events =
        source(&server.url("/")).map(|event| event.unwrap().into_data()).collect::<Vec<_>>();
    let (_, data) =
        tokio::join!(server.respond([stream("data: a\n\n"), NO_CONTENT.to_owned()]), events);
    assert_eq!(data, ["a"]);
}
