//! Connection options, and the HTTP client built from them.

use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, ClientBuilder, Proxy, Url};

use crate::build_error::BuildError;

/// Connection options of a builder.
#[derive(Clone)]
pub(crate) struct HttpClient {
    pub(crate) connect_timeout: Duration,
    pub(crate) unix_socket: Option<PathBuf>,
    pub(crate) route: Route,
    /// Certificates in PEM format, trusted in addition to those of the system.
    pub(crate) root_certificates: Vec<u8>,
    pub(crate) accepts_invalid_certificates: bool,
    pub(crate) has_http2_prior_knowledge: bool,
}

/// Proxy selection.
#[derive(Clone, Default)]
pub(crate) enum Route {
    /// Use the proxy from the environment, except for servers on this machine.
    #[default]
    Environment,
    /// Use no proxy.
    Direct,
    /// Use the proxy with this URL.
    Proxy(String),
}

/// Adds the connection options to a builder that has a field `http: HttpClient`.
macro_rules! connection_options {
    ($builder:ident) => {
        /// Connection options.
        impl $builder {
            /// Sets the timeout for connecting: DNS, TCP and TLS together (default: 10 s).
            ///
            /// The timeout does not include the response.
            pub fn connect_timeout(mut self, time: std::time::Duration) -> Self {
                self.http.connect_timeout = time;
                self
            }

            /// Connects to a Unix socket instead of the host and port of the URL. No proxy is used.
            #[cfg(unix)]
            pub fn unix_socket(mut self, path: impl Into<std::path::PathBuf>) -> Self {
                self.http.unix_socket = Some(path.into());
                self
            }

            /// Connects through a proxy, such as `http://proxy:3128`.
            ///
            /// Default: the proxy from the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`,
            /// `NO_PROXY`), and no proxy for this machine (`localhost`, 127.0.0.0/8, `[::1]`).
            pub fn proxy(mut self, url: impl Into<String>) -> Self {
                self.http.route = crate::http_client::Route::Proxy(url.into());
                self
            }

            /// Connects without a proxy and ignores the proxy settings of the environment.
            pub fn no_proxy(mut self) -> Self {
                self.http.route = crate::http_client::Route::Direct;
                self
            }

            /// Trusts one or more certificates in PEM format, in addition to those of the system.
            pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
                self.http.root_certificates = pem.into();
                self
            }

            /// Accepts any TLS certificate.
            ///
            /// **Dangerous:** anyone between client and server can then read and change the traffic.
            pub fn danger_accept_invalid_certificates(mut self) -> Self {
                self.http.accepts_invalid_certificates = true;
                self
            }

            /// Uses HTTP/2 from the first byte, even without TLS.
            ///
            /// Default: HTTP/2 if an https server selects it, otherwise HTTP/1.1.
            pub fn http2_prior_knowledge(mut self) -> Self {
                self.http.has_http2_prior_knowledge = true;
                self
            }
        }
    };
}
pub(crate) use connection_options;

impl HttpClient {
    /// Default timeout for connecting.
    pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// Maximum size of a response head on HTTP/2, in bytes. On HTTP/1.1 hyper limits it to about 400 KiB and 100
    /// headers.
    const HEAD_BYTES_MAX: u32 = 400 * 1024;

    pub(crate) fn new() -> Self {
        Self {
            connect_timeout: Self::CONNECT_TIMEOUT,
            unix_socket: None,
            route: Route::default(),
            root_certificates: Vec::new(),
            accepts_invalid_certificates: false,
            has_http2_prior_knowledge: false,
        }
    }

    /// Builds the client for a URL. The client does not follow redirects; its caller does.
    pub(crate) fn build(&self, url: &Url) -> Result<Client, BuildError> {
        let mut client = self.builder(url)?.build();
        if client.is_err() && url.scheme() == "http" && self.root_certificates.is_empty() {
            // Plain http must work without system certificates, for example in a minimal container. With an empty set
            // of trusted certificates, a redirect to https fails.
            client = self.builder(url)?.tls_certs_only([]).build();
        }
        client.map_err(|error| BuildError::Client { cause: root_cause(&error) })
    }

    fn builder(&self, url: &Url) -> Result<ClientBuilder, BuildError> {
        let mut builder = Client::builder()
            .user_agent(concat!("stentor-client/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .http2_max_header_list_size(Self::HEAD_BYTES_MAX)
            .tls_danger_accept_invalid_certs(self.accepts_invalid_certificates);
        if self.has_http2_prior_knowledge {
            builder = builder.http2_prior_knowledge();
        }
        builder = match &self.route {
            Route::Environment if !is_loopback(url) => builder,
            Route::Environment | Route::Direct => builder.no_proxy(),
            Route::Proxy(proxy) => {
                let proxy = Proxy::all(proxy);
                builder
                    .proxy(proxy.map_err(|error| BuildError::Proxy { cause: root_cause(&error) })?)
            }
        };
        if !self.root_certificates.is_empty() {
            let certificates = Certificate::from_pem_bundle(&self.root_certificates);
            let certificates = certificates.ok().filter(|found| !found.is_empty());
            builder = builder.tls_certs_merge(certificates.ok_or(BuildError::Certificate)?);
        }
        Ok(self.with_socket(builder))
    }

    #[cfg(unix)]
    fn with_socket(&self, builder: ClientBuilder) -> ClientBuilder {
        match &self.unix_socket {
            Some(path) => builder.unix_socket(path.as_path()),
            None => builder,
        }
    }

    /// Does nothing: the option does not exist on this system.
    #[cfg(not(unix))]
    fn with_socket(&self, builder: ClientBuilder) -> ClientBuilder {
        builder
    }
}

/// Returns `true` if the host name is one of this machine. A proxy would resolve such a name to its own machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Parses the headers set by the caller. They may contain secrets, so they are marked as sensitive.
pub(crate) fn parse_headers(given: &[(String, String)]) -> Result<HeaderMap, BuildError> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        let (header, mut value) =
            header.ok_or_else(|| BuildError::Header { name: name.clone() })?;
        value.set_sensitive(true);
        headers.append(header, value);
    }
    Ok(headers)
}

/// Formats the innermost cause of an error. The outer layers only say which component reported it.
pub(crate) fn root_cause(error: &reqwest::Error) -> String {
    if error.is_connect() && error.is_timeout() {
        return "connecting timed out".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_hosts_are_recognized() {
        for (url, expected) in [
            ("http://localhost:8080/", true),
            ("http://app.localhost/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]:1/", true),
            ("http://localhost.example/", false),
            ("http://10.0.0.1/", false),
            ("http://[::2]/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), expected, "{url}");
        }
    }
}
