//! How commands reach a server.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::bail;
use stentor_client::{EventSource, EventSourceBuilder, Publisher, PublisherBuilder};

/// Where the token may be, so that it is in no list of processes.
const TOKEN_VARIABLE: &str = "STENTOR_TOKEN";

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "The server")]
pub(crate) struct ServerArgs {
    /// The address of the server.
    #[arg(long, env = "STENTOR_URL", default_value = "http://localhost:8080")]
    pub(crate) url: String,

    /// Send this header too. Repeatable.
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

impl ServerArgs {
    /// A publisher to the server.
    pub(crate) fn publisher(&self) -> PublisherBuilder {
        let mut builder = Publisher::builder(&self.url);
        for Header { name, value } in &self.headers {
            builder = builder.header(name, value);
        }
        if let Some(token) = self.token.clone().or_else(token_of_environment) {
            builder = builder.bearer_token(token);
        }
        if let Some(path) = &self.unix_socket {
            builder = builder.unix_socket(path);
        }
        builder
    }

    /// A stream of the server, or a foreign one, for which the environment's token is not.
    pub(crate) fn source(&self, url: &str, is_foreign: bool) -> EventSourceBuilder {
        let mut builder = with_headers(EventSource::builder(url), &self.headers);
        let own_token = || if is_foreign { None } else { token_of_environment() };
        if let Some(token) = self.token.clone().or_else(own_token) {
            builder = builder.header("Authorization", format!("Bearer {token}"));
        }
        if let Some(path) = &self.unix_socket {
            builder = builder.unix_socket(path);
        }
        builder
    }
}

/// The token that happens to be there: for our own server, and no other.
pub(crate) fn token_of_environment() -> Option<String> {
    std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty())
}

/// A header of a request, as people write it: `Name: value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Header {
    /// The one that a token goes into.
    pub(crate) fn bearer(token: &str) -> Header {
        Header { name: "Authorization".to_owned(), value: format!("Bearer {token}") }
    }
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

/// A source that sends these headers too.
pub(crate) fn with_headers<'a>(
    builder: EventSourceBuilder,
    headers: impl IntoIterator<Item = &'a Header>,
) -> EventSourceBuilder {
    let add =
        |builder: EventSourceBuilder, Header { name, value }: &Header| builder.header(name, value);
    headers.into_iter().fold(builder, add)
}
