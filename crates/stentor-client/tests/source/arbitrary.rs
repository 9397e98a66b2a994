//! No bytes of a server can make a source panic, or read anything else than its decoder does.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use stentor_client::{Item, State};
use stentor_sse::Decoder;
use tokio::runtime::Runtime;

use crate::quick;
use crate::support::{STREAM, Server};

const EVENT_BYTES_MAX: usize = 64;

/// What answers and streams are made of.
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

/// Bytes that are often something like an answer or a stream.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let word = select(WORDS).prop_map(<[u8]>::to_vec);
    let piece = prop_oneof![3 => word, 1 => vec(any::<u8>(), 0..20)];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

/// Everything a source makes of this answer, until it has to try again or is at its end.
async fn follow(answer: Vec<u8>) -> Vec<Item> {
    let server = Server::start().await;
    let mut source = quick(&server.url("/")).event_bytes_max(EVENT_BYTES_MAX).build().unwrap();
    let mut states = source.states();
    let script = async {
        let mut connection = server.accept().await;
        connection.pour(&answer, answer.len().min(1)).await;
        connection.leave().await;
    };
    let mut items = Vec::new();
    let read = async {
        while let Some(Ok(piece)) = source.next_chunk().await {
            items.extend(piece.item);
        }
    };
    let follow = async {
        tokio::select! {
            biased;
            () = read => {}
            _ = states.wait_for(|state| matches!(state, State::Waiting { .. })) => {}
        }
    };
    tokio::join!(script, follow);
    items
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_answer_is_read_refused_or_tried_again(answer in bytes()) {
        Runtime::new().unwrap().block_on(follow(answer));
    }

    #[test]
    fn any_stream_is_what_the_decoder_makes_of_it(body in bytes()) {
        let answer = [STREAM.as_bytes(), &body].concat();
        let items = Runtime::new().unwrap().block_on(follow(answer));
        let mut decoder = Decoder::with_event_bytes_max(EVENT_BYTES_MAX);
        let mut rest = &body[..];
        let mut expected = Vec::new();
        while let Some(Ok(item)) = decoder.decode(&mut rest) {
            expected.push(item);
        }
        prop_assert_eq!(items, expected);
    }
}
