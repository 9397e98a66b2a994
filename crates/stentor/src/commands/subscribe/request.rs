//! How a stream is asked for.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::de::IgnoredAny;
use stentor_client::reconnect::Mode;
use stentor_client::{EventSource, EventSourceBuilder, Url};

use super::target::{Kind, Target};
use crate::commands::server::{Header, token_of_environment, with_headers};

/// The bound of what is read for --data: 64 MiB.
const BODY_BYTES_MAX: u64 = 64 << 20;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "The request")]
pub(super) struct RequestArgs {
    /// Send this header too, to the addresses named here and no other that they may redirect to.
    /// Repeatable.
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<Header>,

    /// Send this bearer token as well. Without the option it is taken from the environment variable
    /// `STENTOR_TOKEN`, but only for the server at --url.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// Ask an address with this method, such as QUERY; GET unless told otherwise, and POST with
    /// --data.
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,

    /// Ask an address with this body, at each reconnect anew; `@FILE` for what is in a file, `@-` on
    /// stdin. Its type is application/json if it is JSON, else text/plain, unless a --header says
    /// otherwise.
    #[arg(long, value_name = "BODY")]
    data: Option<String>,

    /// Connect to this Unix socket instead of the host of the address.
    #[arg(long, value_name = "PATH")]
    unix_socket: Option<PathBuf>,

    /// Give up as a browser does: at any status but 200 and 204. Unless told otherwise 429 and 5xx
    /// are tried again.
    #[arg(long)]
    strict: bool,

    /// Give up after so many attempts in a row that came to nothing.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    retry_max: Option<u32>,
}

impl RequestArgs {
    /// A request for each target. `server` is the address of the topics.
    pub(super) fn requests(
        &self,
        targets: &[Target],
        server: &str,
    ) -> anyhow::Result<Vec<EventSourceBuilder>> {
        self.check(targets)?;
        let body = self.data.as_deref().map(body).transpose()?;
        let requests = targets.iter().map(|target| self.request(target, server, body.as_deref()));
        Ok(requests.collect())
    }

    /// Refuses what would publish, or send secrets to more servers than one.
    fn check(&self, targets: &[Target]) -> anyhow::Result<()> {
        let asks = self.method.is_some() || self.data.is_some();
        if asks && targets.iter().any(|target| target.kind != Kind::Address) {
            bail!("--method and --data are for addresses; a topic is read with GET");
        }
        let has_own = asks || !self.headers.is_empty() || self.token.is_some();
        let mut origins = targets.iter().map(|target| origin(&target.url));
        let first = origins.next();
        if has_own && origins.any(|origin| Some(origin) != first) {
            bail!(
                "--header, --token, --method and --data are for one server; follow streams of several \
                 servers in a command each"
            );
        }
        Ok(())
    }

    fn request(&self, target: &Target, server: &str, body: Option<&[u8]>) -> EventSourceBuilder {
        let bearer = self.token_for(target, server).map(|token| Header::bearer(&token));
        let mut request =
            with_headers(EventSource::builder(&target.url), self.headers.iter().chain(&bearer));
        if let Some(method) = &self.method {
            request = request.method(method);
        }
        if let Some(body) = body {
            if !self.has_header("content-type") {
                request = request.header("content-type", content_type(body));
            }
            request = request.body(body.to_owned());
        }
        if let Some(path) = &self.unix_socket {
            request = request.unix_socket(path);
        }
        if let Some(attempts) = self.retry_max {
            request = request.attempts_max(attempts);
        }
        if self.strict { request.mode(Mode::Spec) } else { request }
    }

    fn token_for(&self, target: &Target, server: &str) -> Option<String> {
        if self.token.is_some() {
            return self.token.clone();
        }
        if self.has_header("authorization") || origin(&target.url) != origin(server) {
            return None;
        }
        token_of_environment()
    }

    fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name))
    }
}

/// What to ask with: the text itself, or what it points at.
fn body(data: &str) -> anyhow::Result<Vec<u8>> {
    let cannot_read = || format!("{data:?} cannot be read as --data");
    match data.strip_prefix('@') {
        None => Ok(data.into()),
        Some("-") => read(io::stdin()).with_context(cannot_read),
        Some(path) => {
            File::open(path).map_err(anyhow::Error::from).and_then(read).with_context(cannot_read)
        }
    }
}

fn read(input: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    input.take(BODY_BYTES_MAX + 1).read_to_end(&mut body)?;
    if body.len() as u64 > BODY_BYTES_MAX {
        bail!("it has more than {} MiB", BODY_BYTES_MAX >> 20);
    }
    Ok(body)
}

fn content_type(body: &[u8]) -> &'static str {
    match serde_json::from_slice::<IgnoredAny>(body) {
        Ok(_) => "application/json",
        Err(_) => "text/plain; charset=utf-8",
    }
}

/// Whom an address belongs to; of what is no address, nobody.
fn origin(url: &str) -> Option<String> {
    Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
}
