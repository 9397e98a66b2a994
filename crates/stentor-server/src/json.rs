//! JSON responses.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::body::Body;

/// Returns a JSON response.
pub(crate) fn response(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    // Serialization cannot fail: the values are strings, numbers and lists of them.
    response_with(HeaderMap::new(), status, serde_json::to_vec(value).unwrap_or_default())
}

/// Returns a response with JSON that is already serialized. Its headers are put into `headers`. The
/// body ends with a newline, so that a terminal shows it well.
pub(crate) fn response_with(
    headers: HeaderMap,
    status: StatusCode,
    mut text: Vec<u8>,
) -> Response<Body> {
    text.push(b'\n');
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
