//! `GET /health/live`, `GET /health/ready`, `GET /metrics`, and `OPTIONS` of any path.

use std::time::Duration;

use futures_util::future::{join, join_all};
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use tokio::time::timeout;

use crate::body::Body;
use crate::context::Stentor;
use crate::problem::Problem;

/// Maximum time in which each part of the server must show that it works.
const READY_TIME_MAX: Duration = Duration::from_secs(1);

/// Reports that the process runs. Asks no other part of the server.
pub(crate) fn live() -> Response<Body> {
    text("text/plain; charset=utf-8", "live\n".to_owned())
}

/// Reports that the server can do its work: its shards take turns, the log takes appends and
/// answers queries, and it is not shutting down. Otherwise the problem names each part that is not ready.
pub(crate) async fn ready(stentor: &Stentor) -> Result<Response<Body>, Problem> {
    if stentor.is_draining() {
        return Err(Problem::draining());
    }
    // A further part of the server that can fail by itself is asked here.
    let (shards, log) = join(shards(stentor), log(stentor)).await;
    let faults: Vec<String> = shards.into_iter().chain(log).collect();
    if faults.is_empty() {
        return Ok(text("text/plain; charset=utf-8", "ready\n".to_owned()));
    }
    Err(Problem::not_ready(faults))
}

/// Asks each shard for a turn. Idle shards take turns only if they are asked.
async fn shards(stentor: &Stentor) -> Vec<String> {
    let shards = stentor.shards().running();
    let asked = shards.iter().enumerate().map(async |(number, shard)| {
        if !shard.is_up() {
            return Some(format!("shard {number}: it has failed and is being restarted"));
        }
        let turned = timeout(READY_TIME_MAX, shard.turned()).await;
        turned.err().map(|_| format!("shard {number}: it has not taken a turn for 1 s"))
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Asks the log for an answer, and for the age of the append in flight.
async fn log(stentor: &Stentor) -> Option<String> {
    let ready = stentor.hub().check_ready(READY_TIME_MAX).await;
    ready.err().map(|reason| format!("log: {reason}"))
}

/// Returns the metrics in the `OpenMetrics` format.
pub(crate) fn metrics(stentor: &Stentor) -> Response<Body> {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    text(content_type, stentor.metrics().to_text(stentor.hub()))
}

/// Answers `OPTIONS` with the methods of a path.
pub(crate) fn allow(methods: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn text(content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
