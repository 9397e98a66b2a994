//! The fast path of publishing one event, through the `tower` service.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue panics"
)]

#[path = "../../stentor-hub/tests/gated/mod.rs"]
mod gated;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use serde_json::Value;
use stentor_hub::Hub;
use stentor_server::{Body, Stentor};
use tokio::sync::mpsc;
use tower_service::Service;

use self::gated::GatedStorage;

/// A body of known length whose chunks come through a channel. If the channel closes early, the body breaks off.
struct Chunks {
    left: usize,
    chunks: mpsc::Receiver<Bytes>,
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.chunks.poll_recv(cx).map(|chunk| {
            let Some(chunk) = chunk else {
                return Some(Err(std::io::ErrorKind::ConnectionReset.into()));
            };
            self.left -= chunk.len();
            Some(Ok(Frame::data(chunk)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}

fn post<B>(body: B) -> Request<B> {
    let request = Request::post("/topics/t").header("X-Own", "1").header("Host", "localhost");
    request.header("Content-Type", "application/json").body(body).unwrap()
}

fn in_chunks(left: usize) -> (Request<Chunks>, mpsc::Sender<Bytes>) {
    let (sender, chunks) = mpsc::channel(4);
    (post(Chunks { left, chunks }), sender)
}

/// Returns the status and the JSON body of a response.
async fn parts(response: Response<Body>) -> (u16, Value) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap())
}

/// The data of the events in the log.
async fn history(stentor: &Stentor) -> Vec<Value> {
    let request = Request::get("/topics/t").header("Accept", "application/json");
    let (_, page) = parts(stentor.handle(request.body(Empty::new()).unwrap()).await).await;
    let events = page["events"].as_array().unwrap();
    events.iter().map(|event| event["data"].clone()).collect()
}

#[tokio::test]
async fn an_event_that_arrived_with_its_head_is_published_in_one_poll() {
    let mut stentor = Stentor::new(Hub::memory());
    let response = stentor.call(post(Full::from("{}"))).now_or_never().unwrap().unwrap();
    let names: Vec<_> = response.headers().keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["content-type", "cache-control"], "no header of the request is left");
    let (status, body) = parts(response).await;
    assert_eq!((status, &body["topic"]), (201, &Value::from("t")));
    let newest = stentor.hub().record(stentor.hub().tail().offset).await.unwrap().unwrap();
    assert_eq!(body["id"], newest.cursor().to_string());
    assert_eq!(history(&stentor).await, ["{}"]);
}

#[tokio::test]
async fn a_body_in_several_chunks_is_one_event() {
    let mut stentor = Stentor::new(Hub::memory());
    let (request, chunks) = in_chunks(6);
    chunks.send(Bytes::from("on")).await.unwrap();
    let mut response = stentor.call(request);
    assert!((&mut response).now_or_never().is_none(), "the rest has not arrived");
    for chunk in ["e e", "v"] {
        chunks.send(Bytes::from(chunk)).await.unwrap();
    }
    assert_eq!(parts(response.await.unwrap()).await.0, 201);
    assert_eq!(history(&stentor).await, ["one ev"]);
}

#[tokio::test]
async fn a_body_that_breaks_off_publishes_nothing() {
    let mut stentor = Stentor::new(Hub::memory());
    for first in [None, Some("on")] {
        let (request, chunks) = in_chunks(6);
        if let Some(first) = first {
            chunks.send(Bytes::from(first)).await.unwrap();
        }
        drop(chunks);
        let (status, problem) = parts(stentor.call(request).await.unwrap()).await;
        assert_eq!((status, &problem["code"]), (400, &Value::from("body")));
    }
    assert!(history(&stentor).await.is_empty());
}

#[tokio::test]
async fn with_a_slow_log_the_response_waits_for_the_commit() {
    let (storage, gate) = GatedStorage::new();
    let mut stentor = Stentor::new(Hub::new(storage));
    let mut response = stentor.call(post(Full::from("slow")));
    assert!((&mut response).now_or_never().is_none(), "the log has not committed");
    gate.open();
    assert_eq!(parts(response.await.unwrap()).await.0, 201);
    assert_eq!(history(&stentor).await, ["slow"]);
}
