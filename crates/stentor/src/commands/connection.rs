//! Options that tell client commands how to reach a server.

use std::path::PathBuf;
use std::time::Duration;

use stentor_client::{
    EventSource, EventSourceBuilder, PublishError, Publisher, PublisherBuilder, ServerUrl, Url,
};

use crate::values::{self, Header, RootCertificates};

/// Environment variable for the token, so that it does not show in the process list.
const TOKEN_VARIABLE: &str = "STENTOR_TOKEN";

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ConnectionArgs {
    /// URL of the server.
    #[arg(long, env = "STENTOR_URL", default_value = "http://localhost:8080")]
    #[arg(value_parser = values::server_url)]
    pub(crate) url: String,

    /// Extra request header. It is not sent after a redirect to another host. Repeatable.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = values::header)]
    headers: Vec<Header>,

    /// Bearer token [default: the environment variable `STENTOR_TOKEN`, used only for --url].
    #[arg(long, value_name = "TOKEN", value_parser = values::header_value)]
    token: Option<String>,

    /// Connect to this Unix socket instead of the host in the URL.
    #[arg(long, value_name = "PATH")]
    unix_socket: Option<PathBuf>,

    /// Trust the certificates in this PEM file, in addition to those of the system.
    #[arg(long, value_name = "FILE", value_parser = RootCertificates::read)]
    root_certificate: Option<RootCertificates>,
}

impl ConnectionArgs {
    /// Describes an error of a publish to this topic in terms of the command line.
    pub(crate) fn explain(&self, topic: &str, error: &PublishError) -> String {
        match error {
            PublishError::Unreachable { cause, .. } => cannot_reach(&self.server(), cause),
            error
                if error.problem().and_then(|problem| problem.code.as_deref())
                    == Some("topic-ended") =>
            {
                let url = ServerUrl::new(&self.server()).and_then(|server| server.topic(topic));
                match url {
                    Ok(url) => format!("{error}. To delete it: curl -X DELETE {url}"),
                    Err(_) => error.to_string(),
                }
            }
            error => error.to_string(),
        }
    }

    /// Returns the URL of the server without its password, for messages.
    fn server(&self) -> String {
        match Url::parse(&self.url) {
            Ok(url) if url.password().is_some() => without_password(&url),
            _ => self.url.clone(),
        }
    }

    /// Returns a builder of a publisher to the server.
    pub(crate) fn publisher(&self) -> PublisherBuilder {
        let mut builder = Publisher::builder(&self.url);
        for Header { name, value } in &self.headers {
            builder = builder.header(name, value);
        }
        if let Some(token) = self.token_for(&self.url) {
            builder = builder.bearer_token(token);
        }
        if let Some(path) = &self.unix_socket {
            builder = builder.unix_socket(path);
        }
        if let Some(roots) = &self.root_certificate {
            builder = builder.root_certificates(roots.pem());
        }
        builder
    }

    /// Returns a builder of a stream at this URL, of the server or of another one.
    pub(crate) fn source(&self, url: &str) -> EventSourceBuilder {
        let mut builder = with_headers(EventSource::builder(url), &self.headers);
        if let Some(token) = self.token_for(url) {
            builder = builder.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(path) = &self.unix_socket {
            builder = builder.unix_socket(path);
        }
        self.with_roots(builder)
    }

    /// Adds the root certificates to a stream of any server.
    pub(crate) fn with_roots(&self, builder: EventSourceBuilder) -> EventSourceBuilder {
        match &self.root_certificate {
            Some(roots) => builder.root_certificates(roots.pem()),
            None => builder,
        }
    }

    /// `true` if there are headers or a token, which must go to one server only.
    pub(crate) fn has_secrets(&self) -> bool {
        !self.headers.is_empty() || self.token.is_some()
    }

    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name))
    }

    /// Returns the token to send to this URL. A token from the environment is only for the server at
    /// `--url`.
    fn token_for(&self, url: &str) -> Option<String> {
        let is_own = || !self.has_header("authorization") && origin(url) == origin(&self.url);
        self.token.clone().or_else(|| is_own().then(token_of_environment).flatten())
    }
}

/// Returns the token in the environment, if it is not empty.
pub(crate) fn token_of_environment() -> Option<String> {
    std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty())
}

/// Returns the origin of a URL; `None` if the text is not a URL.
pub(crate) fn origin(url: &str) -> Option<String> {
    Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
}

/// Returns the URL without its password, for messages.
pub(crate) fn without_password(url: &Url) -> String {
    let mut url = url.clone();
    // Fails only for URLs that cannot contain a password.
    let _ = url.set_password(None);
    url.into()
}

/// Describes a failed connection to a server, with advice.
pub(crate) fn cannot_reach(url: &str, cause: &str) -> String {
    // The TLS library reports a plain HTTP response in these words.
    if cause.contains("InvalidContentType") {
        return format!("cannot reach {url}: the server does not use TLS; write http:// instead");
    }
    if let Some(advice) = certificate_advice(cause) {
        return format!("cannot reach {url}: {advice}");
    }
    format!("cannot reach {url}: {cause}; check the URL and that the server is running")
}

/// Describes a certificate that is not trusted, with advice. `None` for any other cause.
pub(crate) fn certificate_advice(cause: &str) -> Option<&'static str> {
    // The words of the TLS library for its errors.
    if cause.contains("UnknownIssuer") {
        return Some(
            "its certificate is not trusted, because this system does not know the issuer; name the issuer's \
             certificate with --root-certificate FILE",
        );
    }
    cause.contains("CaUsedAsEndEntity").then_some(
        "its certificate is that of an issuer (CA:TRUE), not of a server; with `openssl req -x509` add `-addext \
         basicConstraints=critical,CA:FALSE`, and name the new certificate with --root-certificate FILE",
    )
}

/// Sets the idle timeout of a stream, if it is given. Zero turns it off.
pub(crate) fn with_idle_timeout(
    builder: EventSourceBuilder,
    idle_timeout: Option<Duration>,
) -> EventSourceBuilder {
    match idle_timeout {
        None => builder,
        Some(Duration::ZERO) => builder.no_idle_timeout(),
        Some(time) => builder.idle_timeout(time),
    }
}

/// Adds the headers to the request of a stream.
pub(crate) fn with_headers(builder: EventSourceBuilder, headers: &[Header]) -> EventSourceBuilder {
    let add =
        |builder: EventSourceBuilder, Header { name, value }: &Header| builder.header(name, value);
    headers.iter().fold(builder, add)
}
