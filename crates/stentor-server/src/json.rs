//! JSON responses: complete ones, and large ones that are encoded while the client takes them.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::body::Body;
use crate::held::{HeldBody, PieceSource};
use crate::metrics::Metrics;
use crate::response_budget::Charge;

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
    with_body(headers, status, Body::full(text))
}

/// Returns a response with JSON that `source` encodes piece by piece. `charge` is for all that it holds.
pub(crate) fn response_of(
    source: impl PieceSource + 'static,
    charge: Charge,
    metrics: &Metrics,
) -> Response<Body> {
    let body = HeldBody::begin(source, charge, metrics);
    with_body(HeaderMap::new(), StatusCode::OK, body)
}

fn with_body(headers: HeaderMap, status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Appends a value. Writing into memory cannot fail: the values are strings, numbers and lists of them.
pub(crate) fn append(piece: &mut Vec<u8>, value: &impl Serialize) {
    let _ = serde_json::to_writer(piece, value);
}

/// Appends at most about `bytes_max` bytes of the content of a JSON string, without its quotes. Returns the
/// number of bytes of `text` that it has appended: at least one character of a text that is not empty.
pub(crate) fn append_content(piece: &mut Vec<u8>, text: &str, bytes_max: usize) -> usize {
    let part = text.split_at_checked(text.ceil_char_boundary(bytes_max.max(1)));
    let part = part.map_or(text, |(part, _)| part);
    let begin = piece.len();
    append(piece, &part);
    piece.remove(begin);
    piece.pop();
    part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_that_is_encoded_in_parts_equals_the_whole_one() {
        let text = "a\"\\\u{1}\n€ and 🦀, \u{7f}\u{2028}".repeat(3);
        for bytes_max in 0..text.len() + 2 {
            let (mut piece, mut rest) = (vec![b'"'], text.as_str());
            while !rest.is_empty() {
                rest = &rest[append_content(&mut piece, rest, bytes_max)..];
            }
            piece.push(b'"');
            assert_eq!(piece, serde_json::to_vec(&text).unwrap(), "parts of {bytes_max}");
        }
    }
}
