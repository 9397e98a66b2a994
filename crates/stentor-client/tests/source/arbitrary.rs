//! Property tests: random bytes from a server cause no panic, and the source returns the items of the decoder.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use stentor_client::{Item, State};
use stentor_sse::Decoder;
use tokio::runtime::Runtime;

use crate::quick;
use crate::support::{STREAM, Server};

const EVENT_BYTES_MAX: usize = 64;

/// Parts of responses and streams.
const WORDS: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 204 X\r\n",
    b"HTTP/1.0 503 X\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 302 X\r\nlocation: //[:\r\n",
    b"content-type: text/event-stream\r\n",
    b"content-encoding: \xFF\r\n",
    b"content-length: 5\r\n",
    b"content-length: -1\r\n",
    b"transfer-encoding: chunked\r\n",
    b"retry-after: \xFE9\r\n",
    b"\r\n\r\n",
    b"5\r\n",
    b"data: a",
    b"data",
    b"event: x",
    b"id: 1",
    b"id",
    b"retry: 0",
    b"retry: 99999999999999999999",
    b":",
    b"\n",
    b"\r",
    b"\n\n",
    b"\0",
    b"\xEF\xBB\xBF",
    b"\xFF",
];

/// Random bytes that often look like a response or a stream.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let word = select(WORDS).prop_map(<[u8]>::to_vec);
    let part = prop_oneof![3 => word, 1 => vec(any::<u8>(), 0..20)];
    vec(part, 0..30).prop_map(|parts| parts.concat())
}

/// Returns all items of a response, until the source ends or waits for a retry.
async fn items_of(response: Vec<u8>) -> Vec<Item> {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).event_bytes_max(EVENT_BYTES_MAX).build().unwrap();
    let mut states = source.states();
    let script = async {
        let mut connection = server.accept().await;
        connection.write_repeatedly(&response, response.len().min(1)).await;
        connection.close_any().await;
    };
    let mut items = Vec::new();
    let read = async {
        while let Some(Ok(chunk)) = source.next_chunk().await {
            items.extend(chunk.item);
        }
    };
    let read_or_wait = async {
        tokio::select! {
            biased;
            () = read => {}
            _ = states.wait_for(|state| matches!(state, State::Waiting { .. })) => {}
        }
    };
    tokio::join!(script, read_or_wait);
    items
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_response_is_read_refused_or_retried(response in bytes()) {
        Runtime::new().unwrap().block_on(items_of(response));
    }

    #[test]
    fn any_stream_returns_the_items_of_the_decoder(body in bytes()) {
        let response = [STREAM.as_bytes(), &body].concat();
        let items = Runtime::new().unwrap().block_on(items_of(response));
        let mut decoder = Decoder::with_event_bytes_max(EVENT_BYTES_MAX);
        let mut rest = &body[..];
        let mut expected = Vec::new();
        while let Some(Ok(item)) = decoder.decode(&mut rest) {
            expected.push(item);
        }
        prop_assert_eq!(items, expected);
    }
}
