//! The head of an answer.

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode, Url, Version};

/// What the server said before the events.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResponseHead {
    /// The status: 200 for an open stream.
    pub status: StatusCode,
    /// The version of HTTP.
    pub version: Version,
    /// Where the stream is, after all redirects.
    pub url: Url,
    /// The headers.
    pub headers: HeaderMap,
}

impl ResponseHead {
    pub(crate) fn of(response: &Response) -> ResponseHead {
        ResponseHead {
            status: response.status(),
            version: response.version(),
            url: response.url().clone(),
            headers: response.headers().clone(),
        }
    }
}
