//! Options of the requests for streams.

use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::de::IgnoredAny;
use stentor_client::EventSourceBuilder;
use stentor_client::reconnect::Mode;

use super::target::{Kind, Target};
use crate::commands::connection::{ConnectionArgs, origin, with_idle_timeout};
use crate::files::open_file;
use crate::{duration, values};

/// Maximum number of bytes that are read for `--data`.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Maximum silence of a Stentor server, which sends a keep-alive at least every 18 s.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Request")]
pub(super) struct RequestArgs {
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,

    /// HTTP method for a URL, such as QUERY [default: GET, or POST with --data].
    #[arg(long, value_name = "METHOD", value_parser = values::method)]
    method: Option<String>,

    /// Request body for a URL, sent again on each reconnect; `@FILE` reads a file, `@-` stdin. The content
    /// type is application/json for valid JSON, else text/plain; change it with --header.
    #[arg(long, value_name = "BODY")]
    data: Option<String>,

    /// Stop on any status other than 200 or 204, like a browser [default: retry 429 and 5xx].
    #[arg(long)]
    strict: bool,

    /// Give up after N failed attempts in a row [default: retry indefinitely].
    #[arg(long, value_name = "N", value_parser = values::count_u32)]
    retry_max: Option<u32>,

    /// Reconnect after this much silence; `0s` = never [default: 1m for topics; for a URL 3 x the keep-alive
    /// interval of the server, or never if it sends no keep-alives].
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    idle_timeout: Option<Duration>,
}

impl RequestArgs {
    /// Returns the request for each target.
    ///
    /// # Errors
    /// The options do not fit the targets, or the body cannot be read.
    pub(super) fn requests(&self, targets: &[Target]) -> anyhow::Result<Vec<EventSourceBuilder>> {
        self.check(targets)?;
        let body = self.data.as_deref().map(body).transpose()?;
        let requests = targets.iter().map(|target| self.request(target, body.as_deref()));
        Ok(requests.collect())
    }

    /// Refuses requests that would publish to a topic, or send secrets to several servers.
    fn check(&self, targets: &[Target]) -> anyhow::Result<()> {
        let is_custom = self.method.is_some() || self.data.is_some();
        if is_custom && targets.iter().any(|target| target.kind != Kind::Url) {
            bail!("--method and --data work with a URL only; a topic is always read with GET");
        }
        let is_for_one = is_custom || self.connection.has_secrets();
        let mut origins = targets.iter().map(|target| origin(&target.url));
        let first = origins.next();
        if is_for_one && origins.any(|origin| Some(origin) != first) {
            bail!(
                "--header, --token, --method and --data go to one server only; use one command per server"
            );
        }
        Ok(())
    }

    fn request(&self, target: &Target, body: Option<&[u8]>) -> EventSourceBuilder {
        let mut request = self.connection.source(&target.url);
        if let Some(method) = &self.method {
            request = request.method(method);
        }
        if let Some(body) = body {
            if !self.connection.has_header("content-type") {
                request = request.header("content-type", content_type(body));
            }
            request = request.body(body.to_owned());
        }
        if let Some(attempts) = self.retry_max {
            request = request.attempts_max(attempts);
        }
        let own = (target.kind != Kind::Url).then_some(IDLE_TIMEOUT);
        request = with_idle_timeout(request, self.idle_timeout.or(own));
        if self.strict { request.mode(Mode::Spec) } else { request }
    }
}

/// Returns the text itself, or the content of the file or stdin that it refers to.
fn body(data: &str) -> anyhow::Result<Vec<u8>> {
    let cannot_read = || format!("cannot read --data {data}");
    match data.strip_prefix('@') {
        None => Ok(data.into()),
        Some("-") => read(io::stdin()).with_context(cannot_read),
        Some(path) => open_file(Path::new(path)).and_then(read).with_context(cannot_read),
    }
}

fn read(input: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    input.take(BODY_BYTES_MAX + 1).read_to_end(&mut body)?;
    if body.len() as u64 > BODY_BYTES_MAX {
        bail!("the body is larger than {} MiB", BODY_BYTES_MAX >> 20);
    }
    Ok(body)
}

fn content_type(body: &[u8]) -> &'static str {
    match serde_json::from_slice::<IgnoredAny>(body) {
        Ok(_) => "application/json",
        Err(_) => "text/plain; charset=utf-8",
    }
}
