//! Layers that change the bodies of streams, under `serve` and under `axum::serve`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot continue panics"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use stentor_hub::{Hub, TopicName};
use stentor_server::{Guard, ServeOptions, Stentor, bind, serve_with};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Maximum time a test waits. Far longer than anything here should take.
const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "the secret";

/// The server that runs a program.
#[derive(Clone, Copy, Debug)]
enum Under {
    Serve,
    /// `serve`, with the promise that layers leave streams alone.
    TrustingServe,
    Axum,
}

const STRICT: [Under; 2] = [Under::Serve, Under::Axum];
const ALL: [Under; 3] = [Under::Serve, Under::TrustingServe, Under::Axum];

fn start(under: Under, stentor: &Stentor, app: Router) -> SocketAddr {
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let stentor = stentor.clone();
    match under {
        Under::Axum => {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            tokio::spawn(async move { axum::serve(listener, app).await });
        }
        Under::Serve | Under::TrustingServe => {
            let streams_pass_unchanged = matches!(under, Under::TrustingServe);
            let options = ServeOptions { streams_pass_unchanged, ..ServeOptions::default() };
            tokio::spawn(serve_with(options, listener, app, stentor));
        }
    }
    address
}

/// Returns a service with one event.
async fn stentor() -> Stentor {
    let stentor = Stentor::new(Hub::memory());
    stentor.hub().send(&topic(), SECRET).await.unwrap();
    stentor
}

fn topic() -> TopicName {
    "news".parse().unwrap()
}

/// Reads a stream until it contains `text` or ends. Returns what it has read.
async fn read(address: SocketAddr, http2: bool, text: &str) -> String {
    let client = reqwest::Client::builder().no_proxy();
    let client = if http2 { client.http2_prior_knowledge() } else { client };
    let url = format!("http://{address}/topics/news?from=earliest");
    let mut response = client.build().unwrap().get(url).send().await.unwrap();
    let mut seen = String::new();
    while !seen.contains(text) {
        let Some(piece) = timeout(PATIENCE, response.chunk()).await.unwrap().unwrap() else {
            break;
        };
        seen.push_str(std::str::from_utf8(&piece).unwrap());
    }
    seen
}

async fn replace(request: Request, next: Next) -> Response {
    let (parts, _secret) = next.run(request).await.into_parts();
    Response::from_parts(parts, Body::from("you may not see this\n\n"))
}

async fn drop_body(request: Request, next: Next) -> Response {
    let (parts, body) = next.run(request).await.into_parts();
    drop(body);
    Response::from_parts(parts, Body::empty())
}

fn redacted(bytes: &Bytes) -> Bytes {
    String::from_utf8(bytes.to_vec()).unwrap().replace(SECRET, "[redacted]").into()
}

async fn map_frames(request: Request, next: Next) -> Response {
    next.run(request)
        .await
        .map(|body| Body::new(body.map_frame(|frame| frame.map_data(|bytes| redacted(&bytes)))))
}

async fn pass_as_a_data_stream(request: Request, next: Next) -> Response {
    next.run(request).await.map(|body| {
        let pieces = body.into_data_stream();
        Body::from_stream(pieces.map(|piece| piece.map(|bytes| redacted(&bytes))))
    })
}

#[tokio::test]
async fn a_layer_that_replaces_the_body_of_a_stream_is_obeyed() {
    for under in ALL {
        for http2 in [false, true] {
            if http2 && matches!(under, Under::Axum) {
                continue;
            }
            let stentor = stentor().await;
            let app = Router::new().fallback_service(stentor.clone()).layer(from_fn(replace));
            let address = start(under, &stentor, app);
            assert_eq!(read(address, http2, SECRET).await, "you may not see this\n\n", "{under:?}");
        }
    }
}

#[tokio::test]
async fn a_layer_that_drops_the_body_of_a_stream_closes_the_stream() {
    for under in ALL {
        let stentor = stentor().await;
        let app = Router::new().fallback_service(stentor.clone()).layer(from_fn(drop_body));
        let address = start(under, &stentor, app);
        assert_eq!(read(address, false, SECRET).await, "", "{under:?}");
        let metrics = stentor.metrics().to_text(stentor.hub());
        assert!(metrics.contains("\nstentor_streams_open 0\n"), "{under:?}: {metrics}");
    }
}

#[tokio::test]
async fn a_layer_that_rewrites_the_frames_of_a_stream_is_obeyed() {
    for under in STRICT {
        let stentor = stentor().await;
        let router = Router::new().fallback_service(stentor.clone());
        for app in [
            router.clone().layer(from_fn(map_frames)),
            router.layer(from_fn(pass_as_a_data_stream)),
        ] {
            let address = start(under, &stentor, app);
            let seen = read(address, false, "data: [redacted]\n").await;
            assert!(seen.contains("data: [redacted]\n") && !seen.contains(SECRET), "{seen}");
        }
    }
}

#[tokio::test]
async fn a_program_that_promises_to_leave_streams_alone_is_taken_at_its_word() {
    let stentor = stentor().await;
    let app = Router::new().fallback_service(stentor.clone()).layer(from_fn(map_frames));
    let address = start(Under::TrustingServe, &stentor, app);
    assert!(read(address, false, SECRET).await.contains(SECRET), "the layer is bypassed");
    assert!(!read(address, true, "[redacted]").await.contains(SECRET), "HTTP/2 has no takeover");
}

#[tokio::test]
async fn a_layer_that_holds_a_stream_back_delays_it() {
    for under in ALL {
        let (stentor, reached, released) =
            (stentor().await, Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (arrives, waits) = (Arc::clone(&reached), Arc::clone(&released));
        let hold = move |request: Request, next: Next| {
            let (arrives, waits) = (Arc::clone(&arrives), Arc::clone(&waits));
            async move {
                let response = next.run(request).await;
                arrives.notify_one();
                waits.notified().await;
                response
            }
        };
        let app = Router::new().fallback_service(stentor.clone()).layer(from_fn(hold));
        let address = start(under, &stentor, app);
        let reading = tokio::spawn(async move { read(address, false, "data: later\n").await });
        timeout(PATIENCE, reached.notified()).await.unwrap();
        stentor.hub().send(&topic(), "later").await.unwrap();
        released.notify_one();
        let seen = reading.await.unwrap();
        assert!(seen.contains(SECRET) && seen.contains("data: later\n"), "{under:?}: {seen}");
    }
}

#[tokio::test]
async fn a_router_without_layers_delivers_events() {
    for under in ALL {
        let stentor = stentor().await;
        let guarded = Guard::new().wrap(stentor.clone());
        let address = start(under, &stentor, Router::new().fallback_service(guarded));
        let seen = read(address, false, SECRET).await;
        assert!(seen.contains(SECRET), "{under:?}: {seen}");
    }
}

#[tokio::test]
async fn a_reader_that_leaves_a_stream_with_a_boxed_body_is_missed_at_once() {
    let stentor = stentor().await;
    let app = Router::new().fallback_service(stentor.clone());
    let address = start(Under::Serve, &stentor, app);
    read(address, false, SECRET).await;
    // The reader is gone. Nothing is published, and the keep-alive is 15 s away.
    let missed = timeout(Duration::from_secs(10), async {
        while !stentor.metrics().to_text(stentor.hub()).contains("\nstentor_streams_open 0\n") {
            tokio::task::yield_now().await;
        }
    });
    missed.await.unwrap();
}
