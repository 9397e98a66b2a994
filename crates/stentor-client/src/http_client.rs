//! The HTTP client that requests go through.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Proxy, Url};

use crate::error::{BuildError, cause};

/// How a client connects.
#[derive(Clone)]
pub(crate) struct HttpClient {
    pub(crate) connect_timeout: Duration,
    pub(crate) unix_socket: Option<PathBuf>,
    pub(crate) route: Route,
    /// In PEM, to be trusted beside those of the system.
    pub(crate) root_certificates: Vec<u8>,
    pub(crate) accepts_invalid_certificates: bool,
    pub(crate) has_http2_prior_knowledge: bool,
}

/// The way to the server.
#[derive(Clone, Default)]
pub(crate) enum Route {
    /// Through the proxy that the environment names, unless the server is on this machine.
    #[default]
    Environment,
    Direct,
    Proxy(String),
}

/// What a builder with an `http: HttpClient` can be told about connecting.
macro_rules! how_it_connects {
    ($builder:ident) => {
        /// How it connects.
        impl $builder {
            /// How long it may take to connect (name, TCP, TLS); 10 s unless told otherwise. The
            /// answer may take longer.
            pub fn connect_timeout(mut self, time: std::time::Duration) -> Self {
                self.http.connect_timeout = time;
                self
            }

            /// Connects to this Unix socket, whatever the host of the address, and never through a
            /// proxy.
            #[cfg(unix)]
            pub fn unix_socket(mut self, path: impl Into<std::path::PathBuf>) -> Self {
                self.http.unix_socket = Some(path.into());
                self
            }

            /// Connects through this proxy, such as `http://proxy:3128`. Unless told otherwise, the
            /// environment says which one (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`), but
            /// for addresses of this machine (`localhost`, 127/8, `[::1]`), which go through none.
            pub fn proxy(mut self, url: impl Into<String>) -> Self {
                self.http.route = crate::http_client::Route::Proxy(url.into());
                self
            }

            /// Connects through no proxy, whatever the environment says.
            pub fn no_proxy(mut self) -> Self {
                self.http.route = crate::http_client::Route::Direct;
                self
            }

            /// Trusts these certificates (one or more, in PEM) beside those of the system.
            pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
                self.http.root_certificates = pem.into();
                self
            }

            /// Trusts any certificate at all: whoever is on the way can read along and forge.
            pub fn danger_accept_invalid_certificates(mut self) -> Self {
                self.http.accepts_invalid_certificates = true;
                self
            }

            /// Speaks HTTP/2 at once, also without encryption. Unless told otherwise, HTTP/2 is for
            /// https servers that choose it.
            pub fn http2_prior_knowledge(mut self) -> Self {
                self.http.has_http2_prior_knowledge = true;
                self
            }
        }
    };
}
pub(crate) use how_it_connects;

impl HttpClient {
    /// The bound of a head on HTTP/2. On HTTP/1.1 it is hyper's, of about 400 KiB and 100 headers.
    const HEAD_BYTES_MAX: u32 = 400 * 1024;

    pub(crate) fn new(connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            unix_socket: None,
            route: Route::default(),
            root_certificates: Vec::new(),
            accepts_invalid_certificates: false,
            has_http2_prior_knowledge: false,
        }
    }

    /// The client for this address. Redirects are not its to follow.
    pub(crate) fn build(&self, url: &Url) -> Result<Client, BuildError> {
        let mut client = self.builder(url)?.build();
        if client.is_err() && url.scheme() == "http" && self.root_certificates.is_empty() {
            // A machine without certificates (a minimal container) can still do without encryption;
            // a redirect to https then fails, for nobody is trusted.
            client = self.builder(url)?.tls_certs_only([]).build();
        }
        client.map_err(|error| BuildError::Client { cause: cause(&error) })
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
                builder.proxy(proxy.map_err(|error| BuildError::Proxy { cause: cause(&error) })?)
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

    /// Nobody can have set one.
    #[cfg(not(unix))]
    fn with_socket(&self, builder: ClientBuilder) -> ClientBuilder {
        builder
    }
}

/// Whether the address is on this machine, as its text says. No proxy can mean the same machine by it.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names() {
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
