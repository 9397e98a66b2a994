//! Answers in JSON.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::body::Body;

/// An answer in JSON.
pub(crate) fn answer(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    // Strings, numbers and lists always have a spelling in JSON.
    answer_in(HeaderMap::new(), status, serde_json::to_vec(value).unwrap_or_default())
}

/// An answer of this JSON whose headers go into this map. It ends in a newline for the sake of
/// terminals.
pub(crate) fn answer_in(
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
