//! How commands reach a server.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::bail;
use stentor_client::{EventSource, EventSourceBuilder, Publisher, PublisherBuilder, Url};

/// Where the token may be, so that it is in no list of processes.
const TOKEN_VARIABLE: &str = "STENTOR_TOKEN";

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "The server")]
pub(crate) struct ConnectionArgs {
    /// The address of the server.
    #[arg(long, env = "STENTOR_URL", default_value = "http://localhost:8080")]
    pub(crate) url: String,

    /// Send this header too, but not to where it may redirect. Repeatable.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Header>,

    /// Send this bearer token. Without the option it is taken from the environment variable
    /// `STENTOR_TOKEN`, but only for the server at --url.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// Connect to this Unix socket instead of the host of the address.
    #[arg(long, value_name = "PATH")]
    unix_socket: Option<PathBuf>,
}

impl ConnectionArgs {
    /// A publisher to the server.
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
        builder
    }

    /// A stream of the server, or of another.
    pub(crate) fn source(&self, url: &str) -> EventSourceBuilder {
        let mut builder = with_headers(EventSource::builder(url), &self.headers);
        if let Some(token) = self.token_for(url) {
            builder = builder.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(path) = &self.unix_socket {
            builder = builder.unix_socket(path);
        }
        builder
    }

    /// Whether it holds what was meant for one server.
    pub(crate) fn has_secrets(&self) -> bool {
        !self.headers.is_empty() || self.token.is_some()
    }

    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name))
    }

    /// One that happens to be in the environment is for our own server, and no other.
    fn token_for(&self, url: &str) -> Option<String> {
        let is_own = || !self.has_header("authorization") && origin(url) == origin(&self.url);
        self.token.clone().or_else(|| is_own().then(token_of_environment).flatten())
    }
}

pub(crate) fn token_of_environment() -> Option<String> {
    std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty())
}

/// A header of a request, as people write it: `Name: value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl FromStr for Header {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Header> {
        match text.split_once(':') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok(Header { name: name.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => bail!("write it as 'Name: value'"),
        }
    }
}

/// Whom an address belongs to; of what is no address, nobody.
pub(crate) fn origin(url: &str) -> Option<String> {
    Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
}

/// An address as it may be talked of.
pub(crate) fn without_password(url: &Url) -> String {
    let mut url = url.clone();
    // An address that cannot have a password has none.
    let _ = url.set_password(None);
    url.into()
}

/// A source that sends these headers too.
pub(crate) fn with_headers(builder: EventSourceBuilder, headers: &[Header]) -> EventSourceBuilder {
    let add =
        |builder: EventSourceBuilder, Header { name, value }: &Header| builder.header(name, value);
    headers.iter().fold(builder, add)
}
