//! HTTP redirects.

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{StatusCode, Url};
use thiserror::Error;

use crate::server_url::redacted;

/// Maximum number of consecutive redirects.
pub(crate) const REDIRECTS_MAX: usize = 20;

/// Error: a redirect cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RedirectError {
    /// More than [`EventSource::REDIRECTS_MAX`](crate::EventSource::REDIRECTS_MAX) consecutive redirects.
    #[error("the URL redirects more than {limit} times; use the URL of the stream itself")]
    TooMany {
        /// The maximum number of redirects.
        limit: usize,
    },
    /// The redirect leads from https to http, which is not encrypted.
    #[error("{from} redirects to {to}, which is not encrypted; use a URL that stays on https")]
    Insecure {
        /// The URL that redirects.
        from: String,
        /// The target of the redirect.
        to: String,
    },
    /// The redirect leads to another origin, and the request has a body.
    #[error(
        "{from} redirects to {to}, another origin, which does not get the request body; use that URL"
    )]
    Body {
        /// The URL that redirects.
        from: String,
        /// The target of the redirect.
        to: String,
    },
    /// The `Location` header is not an http or https URL.
    #[error("{from} redirects to {location:?}, which is not an http or https URL; check the URL")]
    Location {
        /// The URL that redirects.
        from: String,
        /// The target of the redirect.
        location: String,
    },
}

/// Returns the target if the response is a redirect.
///
/// A redirect status without `Location` is not a redirect. The caller handles it like any other status.
pub(crate) fn target(
    from: &Url,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Option<Url>, RedirectError> {
    let redirects = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = headers.get(LOCATION).filter(|_| redirects) else { return Ok(None) };
    let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
    match from.join(&location) {
        Ok(to) if to.scheme() == "https" => Ok(Some(to)),
        Ok(to) if to.scheme() == "http" && from.scheme() == "https" => {
            Err(RedirectError::Insecure { from: redacted(from), to: redacted(&to) })
        }
        Ok(to) if to.scheme() == "http" => Ok(Some(to)),
        _ => Err(RedirectError::Location { from: redacted(from), location }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(from: &str, status: u16, location: &str) -> Result<Option<String>, RedirectError> {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, location.parse().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        target(&Url::parse(from).unwrap(), status, &headers).map(|url| url.map(String::from))
    }

    #[test]
    fn a_relative_location_is_resolved() {
        for status in [301, 302, 303, 307, 308] {
            let to = follow("http://a.test/x/y?z", status, "../v?w").unwrap();
            assert_eq!(to.as_deref(), Some("http://a.test/v?w"), "{status}");
        }
        let to = follow("https://a.test/", 302, "//b.test/s").unwrap();
        assert_eq!(to.as_deref(), Some("https://b.test/s"));
    }

    #[test]
    fn only_the_five_statuses_redirect() {
        for status in [200, 201, 300, 304, 305, 404] {
            assert_eq!(follow("http://a.test/", status, "/x"), Ok(None), "{status}");
        }
    }

    #[test]
    fn encryption_is_not_given_up() {
        assert!(matches!(
            follow("https://a.test/", 302, "http://a.test/"),
            Err(RedirectError::Insecure { .. })
        ));
        assert!(follow("http://a.test/", 302, "https://a.test/").unwrap().is_some());
    }

    #[test]
    fn a_location_that_is_not_http_is_refused() {
        for location in ["file:///etc/passwd", "data:text/event-stream,x", "http://"] {
            let result = follow("http://a.test/", 302, location);
            assert!(matches!(result, Err(RedirectError::Location { .. })), "{location}");
        }
    }
}
