//! How a stream is asked for.

use std::fs::File;
use std::io::{self, Read};

use anyhow::{Context, bail};
use serde::de::IgnoredAny;
use stentor_client::EventSourceBuilder;
use stentor_client::reconnect::Mode;

use super::target::{Kind, Target};
use crate::commands::connection::{ConnectionArgs, origin};

/// The bound of what is read for --data: 64 MiB.
const BODY_BYTES_MAX: u64 = 64 << 20;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "The request")]
pub(super) struct RequestArgs {
    #[command(flatten)]
    pub(super) server: ConnectionArgs,

    /// Ask an address with this method, such as QUERY; GET unless told otherwise, and POST with
    /// --data.
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,

    /// Ask an address with this body, at each reconnect anew; `@FILE` for what is in a file, `@-` on
    /// stdin. Its type is application/json if it is JSON, else text/plain, unless a --header says
    /// otherwise.
    #[arg(long, value_name = "BODY")]
    data: Option<String>,

    /// Give up as a browser does: at any status but 200 and 204. Unless told otherwise 429 and 5xx
    /// are tried again.
    #[arg(long)]
    strict: bool,

    /// Give up after so many attempts in a row that came to nothing.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    retry_max: Option<u32>,
}

impl RequestArgs {
    /// A request for each target.
    pub(super) fn requests(&self, targets: &[Target]) -> anyhow::Result<Vec<EventSourceBuilder>> {
        self.check(targets)?;
        let body = self.data.as_deref().map(body).transpose()?;
        let requests = targets.iter().map(|target| self.request(target, body.as_deref()));
        Ok(requests.collect())
    }

    /// Refuses what would publish, or send secrets to more servers than one.
    fn check(&self, targets: &[Target]) -> anyhow::Result<()> {
        let asks = self.method.is_some() || self.data.is_some();
        if asks && targets.iter().any(|target| target.kind != Kind::Address) {
            bail!("--method and --data are for addresses; a topic is read with GET");
        }
        let is_for_one = asks || self.server.has_secrets();
        let mut origins = targets.iter().map(|target| origin(&target.url));
        let first = origins.next();
        if is_for_one && origins.any(|origin| Some(origin) != first) {
            bail!(
                "--header, --token, --method and --data are for one server; follow streams of several \
                 servers in a command each"
            );
        }
        Ok(())
    }

    fn request(&self, target: &Target, body: Option<&[u8]>) -> EventSourceBuilder {
        let mut request = self.server.source(&target.url);
        if let Some(method) = &self.method {
            request = request.method(method);
        }
        if let Some(body) = body {
            if !self.server.has_header("content-type") {
                request = request.header("content-type", content_type(body));
            }
            request = request.body(body.to_owned());
        }
        if let Some(attempts) = self.retry_max {
            request = request.attempts_max(attempts);
        }
        if self.strict { request.mode(Mode::Spec) } else { request }
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
