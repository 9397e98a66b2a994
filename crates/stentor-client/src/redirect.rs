//! Where a redirect leads.

use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{StatusCode, Url};
use thiserror::Error;

use crate::server_url::shown;

/// Why a redirect cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RedirectError {
    /// More than [`EventSource::REDIRECTS_MAX`](crate::EventSource::REDIRECTS_MAX) in a row.
    #[error("the address redirects more than {limit} times; use the address where the stream is")]
    TooMany {
        /// The bound.
        limit: usize,
    },
    /// From https to http, where anyone on the way could read along.
    #[error("{from} redirects to {to}, which is not encrypted; use an address that stays on https")]
    Insecure {
        /// The address that redirects.
        from: String,
        /// Where it leads.
        to: String,
    },
    /// To another origin, with a body that is not meant for it.
    #[error("{from} redirects to {to}, to which nobody asked to send a body; use that address")]
    Body {
        /// The address that redirects.
        from: String,
        /// Where it leads.
        to: String,
    },
    /// The `Location` is no address of the web.
    #[error("{from} redirects to {location:?}, which is no http or https address")]
    Location {
        /// The address that redirects.
        from: String,
        /// Where it leads.
        location: String,
    },
}

/// The address to ask next, if the answer is a redirect. A status of this kind without `Location`
/// is none, and left to be judged as the status that it is.
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
            Err(RedirectError::Insecure { from: shown(from), to: shown(&to) })
        }
        Ok(to) if to.scheme() == "http" => Ok(Some(to)),
        _ => Err(RedirectError::Location { from: shown(from), location }),
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
    fn a_location_outside_the_web_is_refused() {
        for location in ["file:///etc/passwd", "data:text/event-stream,x", "http://"] {
            let answer = follow("http://a.test/", 302, location);
            assert!(matches!(answer, Err(RedirectError::Location { .. })), "{location}");
        }
    }
}
