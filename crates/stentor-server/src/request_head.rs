//! Checks of request heads that HTTP demands and that hyper leaves to the server.

use http::header::{AsHeaderName, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, Request, Version};
use http_body::Body;

use crate::problem::{Code, Problem};

/// Checks the head of a request before a service gets it.
///
/// # Errors
///
/// Returns the refusal of a request without exactly one host, or with a transfer coding that is not
/// supported.
pub(crate) fn check<B: Body>(request: &Request<B>) -> Result<(), Problem> {
    host(request)?;
    // Only a body that is sent in chunks has no known length.
    let is_chunked =
        !request.body().is_end_stream() && request.body().size_hint().exact().is_none();
    if is_chunked && request.version() < Version::HTTP_2 {
        check_transfer_coding(request.headers())?;
    }
    Ok(())
}

/// Returns the requested host: the authority of the URI, else the `Host` header. HTTP/1.0 clients may
/// omit it.
///
/// # Errors
///
/// Returns the refusal of a request without a host, with several, or with two different ones (RFC 9112,
/// 3.2, and RFC 9113, 8.3.1).
pub(crate) fn host<B>(request: &Request<B>) -> Result<Option<&str>, Problem> {
    let authority = request.uri().authority().map(Authority::as_str);
    let header = match only(request.headers(), HOST) {
        Ok(header) => header,
        Err(Unusable::Several) => return Err(refused("has several `Host` headers; send one")),
        Err(Unusable::NotAscii) => {
            return Err(refused(
                "has a `Host` header that is not ASCII; send the name as punycode",
            ));
        }
    };
    match (authority, header) {
        (None, None) if request.version() > Version::HTTP_10 => {
            Err(refused("has no `Host` header; send one"))
        }
        (_, Some("")) => Err(refused("has an empty `Host` header; send the name of the server")),
        (Some(authority), Some(header)) if !authority.eq_ignore_ascii_case(header) => {
            Err(refused("names two different hosts, in its URL and in its `Host` header; send one"))
        }
        (authority, header) => Ok(authority.or(header)),
    }
}

fn check_transfer_coding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let is_plain = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"chunked");
    let first = codings.next().is_none_or(|value| is_plain(value.as_bytes()));
    if first && codings.next().is_none() {
        return Ok(());
    }
    let detail = "the only supported transfer coding is `chunked`; send a compressed body with \
                  `Content-Encoding`, where a route supports that, or send it uncompressed";
    Err(Problem::of(Code::TransferCoding, detail))
}

fn refused(fault: &str) -> Problem {
    Problem::of(Code::Head, format!("the request {fault}"))
}

/// A header whose value cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The request has it more than once.
    Several,
    /// The value has characters other than visible ASCII.
    NotAscii,
}

/// Returns the value of a header that a request has at most once.
pub(crate) fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&str>, Unusable> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Unusable::Several);
    }
    value.to_str().map(Some).map_err(|_| Unusable::NotAscii)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http_body_util::{Empty, StreamBody};

    use super::*;
    use crate::body::BoxError;

    fn request(version: Version, uri: &str, hosts: &[&[u8]]) -> Request<Empty<bytes::Bytes>> {
        let mut request = Request::builder().version(version).uri(uri);
        for host in hosts {
            request = request.header(HOST, HeaderValue::from_bytes(host).unwrap());
        }
        request.body(Empty::new()).unwrap()
    }

    fn code(refused: Result<(), Problem>) -> u16 {
        refused.map_or_else(|problem| problem.into_response().status().as_u16(), |()| 200)
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        use Version as V;
        for (version, uri, hosts, status) in [
            (V::HTTP_11, "/", &[b"a".as_slice()] as &[&[u8]], 200),
            (V::HTTP_11, "/", &[], 400),
            (V::HTTP_11, "/", &[b"a", b"a"], 400),
            (V::HTTP_11, "/", &[b""], 400),
            (V::HTTP_11, "/", &[b"\xfcber"], 400),
            (V::HTTP_11, "http://a/", &[], 200),
            (V::HTTP_11, "http://A:1/", &[b"a:1"], 200),
            (V::HTTP_11, "http://a/", &[b"b"], 400),
            (V::HTTP_10, "/", &[], 200),
            (V::HTTP_10, "/", &[b"a", b"b"], 400),
            (V::HTTP_2, "http://a/", &[], 200),
            (V::HTTP_2, "http://a/", &[b"a"], 200),
            (V::HTTP_2, "http://a/", &[b"b"], 400),
            (V::HTTP_2, "/", &[b"a"], 200),
            (V::HTTP_2, "/", &[], 400),
        ] {
            let found = code(check(&request(version, uri, hosts)));
            assert_eq!(found, status, "{version:?} {uri} {hosts:?}");
        }
    }

    #[test]
    fn a_transfer_coding_other_than_chunked_is_not_implemented() {
        for (codings, status) in [
            (&["chunked"] as &[&str], 200),
            (&["Chunked "], 200),
            (&["gzip, chunked"], 501),
            (&["gzip", "chunked"], 501),
            (&["identity, chunked"], 501),
            (&["chunked, chunked"], 501),
        ] {
            let mut request = Request::post("/").header(HOST, "a");
            for coding in codings {
                request = request.header(TRANSFER_ENCODING, *coding);
            }
            let frames =
                futures_util::stream::pending::<Result<http_body::Frame<bytes::Bytes>, BoxError>>();
            let request = request.body(StreamBody::new(frames)).unwrap();
            assert_eq!(code(check(&request)), status, "{codings:?}");
        }
    }
}
