//! The bytes of a response head, for sockets that hyper does not write.

use std::time::SystemTime;

use http::Response;
use http::header::DATE;

/// Encodes the head of a response with status 200, as hyper would. The body is chunked over HTTP/1.1.
pub(crate) fn encode<B>(response: &Response<B>, chunked: bool) -> Vec<u8> {
    const TYPICAL_BYTES: usize = 512;
    let mut head = Vec::with_capacity(TYPICAL_BYTES);
    head.extend_from_slice(if chunked { b"HTTP/1.1 200 OK\r\n" } else { b"HTTP/1.0 200 OK\r\n" });
    let mut line = |name: &[u8], value: &[u8]| {
        head.extend_from_slice(name);
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    };
    for (name, value) in response.headers() {
        line(name.as_str().as_bytes(), value.as_bytes());
    }
    if chunked {
        line(b"transfer-encoding", b"chunked");
    }
    if !response.headers().contains_key(DATE) {
        line(b"date", httpdate::fmt_http_date(SystemTime::now()).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}
