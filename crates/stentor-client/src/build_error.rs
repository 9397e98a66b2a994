//! Errors of the builders.

use thiserror::Error;

use crate::server_url::UrlError;

/// Error: an [`EventSource`](crate::EventSource) or a [`Publisher`](crate::Publisher) cannot be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL is not valid.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A header is not valid.
    #[error(
        "the header `{name}` is not valid; use a plain name, and visible ASCII without line breaks as the value"
    )]
    Header {
        /// The name of the header.
        name: String,
    },
    /// The method is not valid.
    #[error("`{method}` is not an HTTP method; use one such as POST")]
    Method {
        /// The given method.
        method: String,
    },
    /// The URL of the proxy is not valid.
    #[error("the proxy URL is not valid ({cause}); use one such as http://proxy:3128")]
    Proxy {
        /// The root cause.
        cause: String,
    },
    /// The root certificates are not valid.
    #[error("cannot read the root certificates; provide one or more in PEM format")]
    Certificate,
    /// The HTTP client cannot be created, for example because the system has no certificates.
    #[error("cannot create the HTTP client: {cause}")]
    Client {
        /// The root cause.
        cause: String,
    },
}
