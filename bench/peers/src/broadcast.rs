//! A minimal hand-written server: axum with a tokio broadcast channel for each topic. Usage:
//!
//!     broadcast 127.0.0.1:9280

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::{get, post};
use futures_core::Stream;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::BroadcastStream;

/// Number of events that a subscriber can lag before it misses some.
const BEHIND_MAX: usize = 256;

type Topics = Arc<RwLock<HashMap<String, broadcast::Sender<Arc<str>>>>>;

async fn subscribe(
    Path(topic): Path<String>,
    State(topics): State<Topics>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let mut topics = topics.write().unwrap_or_else(PoisonError::into_inner);
    let topic = topics.entry(topic).or_insert_with(|| broadcast::channel(BEHIND_MAX).0);
    let events = BroadcastStream::new(topic.subscribe()).filter_map(Result::ok);
    Sse::new(events.map(|data| Ok(Event::default().data(&*data)))).keep_alive(KeepAlive::default())
}

async fn publish(
    Path(topic): Path<String>,
    State(topics): State<Topics>,
    data: String,
) -> StatusCode {
    if let Some(topic) = topics.read().unwrap_or_else(PoisonError::into_inner).get(&topic) {
        // This fails only without subscribers.
        let _ = topic.send(data.into());
    }
    StatusCode::NO_CONTENT
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).context("usage: broadcast ADDRESS:PORT")?;
    let router = Router::new()
        .route("/sub/{topic}", get(subscribe))
        .route("/pub/{topic}", post(publish))
        .with_state(Topics::default());
    axum::serve(TcpListener::bind(address).await?, router).await?;
    Ok(())
}
