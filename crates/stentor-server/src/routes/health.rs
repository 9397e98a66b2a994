//! `GET /health/live`, `GET /health/ready`, `GET /metrics`, and `OPTIONS` of any path.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use crate::body::Body;
use crate::context::Stentor;
use crate::problem::Problem;

/// Reports that the process runs.
pub(crate) fn live() -> Response<Body> {
    text("text/plain; charset=utf-8", "live\n".to_owned())
}

/// Reports that the log can be read and the server is not shutting down.
pub(crate) async fn ready(stentor: &Stentor) -> Result<Response<Body>, Problem> {
    if stentor.is_draining() {
        return Err(Problem::draining());
    }
    stentor.hub().topics(stentor_hub::TopicsQuery { limit: 1, ..Default::default() }).await?;
    Ok(text("text/plain; charset=utf-8", "ready\n".to_owned()))
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
