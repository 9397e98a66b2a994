//! Serves a recording over HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use tokio_util::sync::CancellationToken;

use super::pace::{Pace, Speed};
use super::stream::ReplayStream;

#[derive(Clone)]
struct App {
    stream: Arc<ReplayStream>,
    speed: Speed,
    drain: CancellationToken,
}

/// Returns routes that serve the recording at every path, from its start or after the `Last-Event-ID`.
pub(super) fn router(stream: ReplayStream, speed: Speed, drain: CancellationToken) -> Router {
    let app = App { stream: Arc::new(stream), speed, drain };
    Router::new().fallback(get(respond)).with_state(app)
}

async fn respond(State(app): State<App>, headers: HeaderMap) -> Response {
    let id = headers.get("last-event-id").map(|id| String::from_utf8_lossy(id.as_bytes()));
    let Some((index, from)) = app.stream.after(&id.unwrap_or_default()) else {
        return StatusCode::NO_CONTENT.into_response();
    };
    let body = Body::from_stream(pieces(app, index, from));
    ([(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache, no-store")], body)
        .into_response()
}

/// Returns the pieces from `index` on, each when it is due. `from` is the current time of the recording.
fn pieces(
    app: App,
    index: usize,
    from: Duration,
) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
    let start = (Pace::begin(app.speed, from), app, index);
    unfold(start, |(pace, app, index)| async move {
        let piece = app.stream.piece(index)?;
        app.drain.run_until_cancelled(pace.until(piece.at)).await?;
        let bytes = piece.bytes.clone();
        Some((Ok(bytes), (pace, app, index + 1)))
    })
}
