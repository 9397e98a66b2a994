//! The head of a response.

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode, Url, Version};

/// Status, headers and URL of the response that opened a stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ResponseHead {
    /// The status. It is 200 for an open stream.
    pub status: StatusCode,
    /// The HTTP version.
    pub version: Version,
    /// The URL of the stream after all redirects.
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
