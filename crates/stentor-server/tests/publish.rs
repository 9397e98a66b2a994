//! A publish of one event, through the service that a server calls.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on shall panic"
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

/// A body of known length whose pieces come through a channel; closed, it breaks off.
struct Pieces {
    left: usize,
    pieces: mpsc::Receiver<Bytes>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.pieces.poll_recv(cx).map(|piece| {
            let Some(piece) = piece else {
                return Some(Err(std::io::ErrorKind::ConnectionReset.into()));
            };
            self.left -= piece.len();
            Some(Ok(Frame::data(piece)))
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

fn in_pieces(left: usize) -> (Request<Pieces>, mpsc::Sender<Bytes>) {
    let (sender, pieces) = mpsc::channel(4);
    (post(Pieces { left, pieces }), sender)
}

async fn said(response: Response<Body>) -> (u16, Value) {
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), serde_json::from_slice(&body).unwrap())
}

/// The data of the events in the log.
async fn history(stentor: &Stentor) -> Vec<Value> {
    let request = Request::get("/topics/t").header("Accept", "application/json");
    let (_, page) = said(stentor.handle(request.body(Empty::new()).unwrap()).await).await;
    let events = page["events"].as_array().unwrap();
    events.iter().map(|event| event["data"].clone()).collect()
}

#[tokio::test]
async fn an_event_that_came_with_its_head_is_answered_at_once() {
    let mut stentor = Stentor::new(Hub::memory());
    let answer = stentor.call(post(Full::from("{}"))).now_or_never().unwrap().unwrap();
    let names: Vec<_> = answer.headers().keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["content-type", "cache-control"], "none of the request's");
    let (status, answer) = said(answer).await;
    assert_eq!((status, &answer["topic"]), (201, &Value::from("t")));
    let newest = stentor.hub().record(stentor.hub().tail().offset).await.unwrap().unwrap();
    assert_eq!(answer["id"], newest.cursor().to_string());
    assert_eq!(history(&stentor).await, ["{}"]);
}

#[tokio::test]
async fn a_body_that_comes_in_pieces_is_one_event() {
    let mut stentor = Stentor::new(Hub::memory());
    let (request, pieces) = in_pieces(6);
    pieces.send(Bytes::from("on")).await.unwrap();
    let mut answer = stentor.call(request);
    assert!((&mut answer).now_or_never().is_none(), "the rest is still to come");
    for piece in ["e e", "v"] {
        pieces.send(Bytes::from(piece)).await.unwrap();
    }
    assert_eq!(said(answer.await.unwrap()).await.0, 201);
    assert_eq!(history(&stentor).await, ["one ev"]);
}

#[tokio::test]
async fn a_body_that_breaks_off_publishes_nothing() {
    let mut stentor = Stentor::new(Hub::memory());
    for first in [None, Some("on")] {
        let (request, pieces) = in_pieces(6);
        if let Some(first) = first {
            pieces.send(Bytes::from(first)).await.unwrap();
        }
        drop(pieces);
        let (status, problem) = said(stentor.call(request).await.unwrap()).await;
        assert_eq!((status, &problem["code"]), (400, &Value::from("body")));
    }
    assert!(history(&stentor).await.is_empty());
}

#[tokio::test]
async fn an_event_is_answered_when_a_log_that_takes_its_time_has_it() {
    let (storage, gate) = GatedStorage::new();
    let mut stentor = Stentor::new(Hub::new(storage));
    let mut answer = stentor.call(post(Full::from("slow")));
    assert!((&mut answer).now_or_never().is_none(), "the log is not done");
    gate.open();
    assert_eq!(said(answer.await.unwrap()).await.0, 201);
    assert_eq!(history(&stentor).await, ["slow"]);
}
