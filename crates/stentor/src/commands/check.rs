//! `stentor check`: a doctor for any endpoint of Server-Sent Events.
//!
//! One connection watches the stream (`watch.rs`, `capture.rs`) while others try out the rest; each
//! theme has its checks and their judge in a file of its own, and `report.rs` lists them all. Nothing is
//! asked of the endpoint that a few readers would not ask.

mod capture;
mod cors;
mod diagnosis;
mod end;
mod endpoint;
mod finding;
mod flow;
mod format;
mod http2;
mod lines;
mod probe;
mod publishing;
mod report;
mod response;
mod resume;
mod timing;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use self::cors::Origin;
use self::diagnosis::Diagnosis;
use self::endpoint::Endpoint;
use self::publishing::Publishing;
use self::report::Paint;
use crate::commands::connection::{Header, token_of_environment, without_password};
use crate::duration;
use crate::output::{print_line, print_message};

/// The page's origin, unless another is named.
const ORIGIN: &str = "https://example.com";

/// The endpoint could not be reached.
const UNREACHABLE: u8 = 3;

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:\n  \
    0  nothing failed (warnings do not count)\n  \
    1  something failed\n  \
    2  the command line is wrong\n  \
    3  the endpoint cannot be reached")]
pub(crate) struct CheckArgs {
    /// The address of the stream. It may be of any server.
    #[arg(value_parser = address)]
    url: Url,

    /// How long to watch the stream. Over 66s shows whether a silent one stays open.
    #[arg(long = "for", value_name = "TIME", default_value = "20s", value_parser = duration::parse_arg)]
    length: Duration,

    /// Publish sixteen small events by POST to this address, and look how they arrive.
    #[arg(long, value_name = "URL", value_parser = address)]
    publish_url: Option<Url>,

    /// A header for publishing, such as `Authorization: Bearer x`. Repeatable.
    #[arg(long, value_name = "NAME: VALUE", requires = "publish_url", value_parser = header)]
    publish_header: Vec<(HeaderName, HeaderValue)>,

    /// The content type of what is published.
    #[arg(long, value_name = "TYPE", default_value = "text/plain; charset=utf-8")]
    publish_type: HeaderValue,

    /// A header for each request to the stream. It does not follow a redirect to another origin.
    /// Repeatable.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,

    /// Send this bearer token, to the stream and, if it is of the same origin, to --publish-url.
    /// Without the option it is taken from the environment variable `STENTOR_TOKEN`, but only for the
    /// server at `STENTOR_URL`.
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// Connect to this Unix socket instead of the host of the address.
    #[arg(long, value_name = "PATH")]
    unix_socket: Option<PathBuf>,

    /// The origin of a page that shall read the stream. Without it that of a stranger is tried, whom
    /// nobody has to let in.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<String>,

    /// How long what should come at once may take.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration::parse_arg)]
    patience: Duration,

    /// The shortest time after which something on the path closes a silent connection.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse_arg)]
    idle_timeout: Duration,

    /// Print a JSON object.
    #[arg(long)]
    json: bool,

    /// Say why it matters and how to mend it of what passed, too.
    #[arg(long, conflicts_with = "json")]
    explain: bool,
}

pub(crate) async fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let diagnosis = args.diagnosis()?;
    let report = match diagnosis.run().await {
        Ok(report) => report,
        Err(error) => {
            let url = without_password(&args.url);
            print_message(format_args!("{url} cannot be reached: {error}"));
            return Ok(ExitCode::from(UNREACHABLE));
        }
    };
    let text = if args.json {
        report.json().to_string()
    } else {
        report.lines(args.explain, Paint::of_stdout()).join("\n")
    };
    print_line(&text).context("stdout cannot be written")?;
    Ok(if report.has_failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl CheckArgs {
    fn diagnosis(&self) -> anyhow::Result<Diagnosis> {
        let headers = self.header.iter().cloned().collect();
        let token = self.token.clone().or_else(|| token_of_environment().filter(|_| self.is_own()));
        let endpoint = Endpoint::new(
            self.url.clone(),
            headers,
            token.as_deref(),
            self.unix_socket.clone(),
            self.patience,
        )?;
        // Nobody else publishes this: the time with all its digits.
        let run = format!("check-{:x}", jiff::Timestamp::now().as_nanosecond());
        let publishing = self.publish_url.clone().map(|url| Publishing {
            url,
            headers: self.publish_header.iter().cloned().collect(),
            content_type: self.publish_type.clone(),
            run: run.clone(),
        });
        let origin = Origin {
            text: self.origin.clone().unwrap_or_else(|| ORIGIN.to_owned()),
            is_required: self.origin.is_some(),
        };
        Ok(Diagnosis {
            endpoint,
            publishing,
            origin,
            run,
            length: self.length,
            idle_timeout: self.idle_timeout,
        })
    }

    /// Whether the stream is of the server that the other commands reach unless told otherwise.
    fn is_own(&self) -> bool {
        let server = std::env::var("STENTOR_URL");
        let server = server.unwrap_or_else(|_| "http://localhost:8080".to_owned());
        Url::parse(&server).is_ok_and(|server| server.origin() == self.url.origin())
    }
}

fn address(text: &str) -> Result<Url, String> {
    let advice = "it must be an address such as https://example.com/events";
    match text.parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err(advice.to_owned()),
    }
}

fn header(text: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let Header { name, value } = text.parse()?;
    Ok((name.try_into()?, value.try_into()?))
}
