//! The request for an event stream.

use bytes::Bytes;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, HeaderMap,
};
use reqwest::{Method, StatusCode, Url};

use super::redirect::RedirectError;
use crate::server_url::redacted;

/// A request as configured by the caller. It is sent again at each reconnect.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// Headers of the caller. They are sent only to the origin of the URL.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

impl Request {
    /// Returns the request to send after a redirect to the given URL (WHATWG Fetch, HTTP-redirect fetch).
    pub(crate) fn redirected(mut self, status: StatusCode, to: Url) -> Result<Self, RedirectError> {
        let is_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if is_get {
            self.drop_body();
        }
        if to.origin() != self.url.origin() {
            if self.body.is_some() {
                return Err(RedirectError::Body { from: redacted(&self.url), to: redacted(&to) });
            }
            // Headers may contain secrets. Another origin must not get them, nor an origin that it redirects to.
            self.headers.clear();
        }
        self.url = to;
        Ok(self)
    }

    fn drop_body(&mut self) {
        self.method = Method::GET;
        self.body = None;
        for name in
            [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE]
        {
            self.headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "http://a.test/s";

    fn request(method: Method) -> Request {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "text/plain".parse().unwrap());
        headers.insert("x-key", "secret".parse().unwrap());
        let body = (method != Method::GET).then(|| Bytes::from("ask"));
        Request { method, url: Url::parse(HOME).unwrap(), headers, body }
    }

    fn redirect(method: &str, status: u16, to: &str) -> Result<Request, RedirectError> {
        let status = StatusCode::from_u16(status).unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        request(method).redirected(status, Url::parse(to).unwrap())
    }

    #[test]
    fn a_body_is_sent_again_if_the_method_is_kept() {
        for (method, status, kept) in [
            ("POST", 301, false),
            ("POST", 302, false),
            ("POST", 303, false),
            ("POST", 307, true),
            ("POST", 308, true),
            ("QUERY", 301, true),
            ("QUERY", 302, true),
            ("QUERY", 303, false),
            ("QUERY", 307, true),
        ] {
            let request = redirect(method, status, "http://a.test/t").unwrap();
            let case = format!("{method} {status}");
            assert_eq!(request.method.as_str(), if kept { method } else { "GET" }, "{case}");
            assert_eq!(request.body.is_some(), kept, "{case}");
            assert_eq!(request.headers.contains_key(CONTENT_TYPE), kept, "{case}");
            assert!(request.headers.contains_key("x-key"), "{case}");
        }
    }

    #[test]
    fn another_origin_gets_no_headers_and_no_body() {
        for to in ["http://b.test/s", "https://a.test/s", "http://a.test:81/s"] {
            let request = redirect("GET", 307, to).unwrap();
            assert!(request.headers.is_empty(), "{to}");
            assert!(redirect("POST", 302, to).unwrap().headers.is_empty(), "{to}");
            assert!(matches!(redirect("POST", 307, to), Err(RedirectError::Body { .. })), "{to}");
        }
    }
}
