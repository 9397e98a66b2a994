//! `stentor check`: diagnoses any SSE endpoint.
//!
//! One connection watches the stream (`watch.rs`, `capture.rs`) while other requests run the remaining
//! checks. Each group of checks has a file with their texts and evaluation; `report.rs` lists all groups.
//! The load on the endpoint is that of a few subscribers.

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

use reqwest::Url;
use reqwest::header::{HeaderName, HeaderValue};

use self::cors::Origin;
use self::diagnosis::Diagnosis;
use self::endpoint::Endpoint;
use self::publishing::Publishing;
use self::report::Style;
use crate::commands::connection::{cannot_reach, token_of_environment, without_password};
use crate::output::{print_line, print_message};
use crate::values::RootCertificates;
use crate::{duration, values};

/// Default for `--origin`: an origin that the server is not expected to allow. In the log of a server, its name
/// shows that the request is from this command. `.invalid` is reserved (RFC 2606), so no real page has it.
const ORIGIN: &str = "https://stentor-check.invalid";

/// Exit code for an unreachable endpoint.
const UNREACHABLE: u8 = 3;

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes:\n  \
    0  no check failed (warnings do not count)\n  \
    1  a check failed\n  \
    2  the command line is wrong\n  \
    3  the endpoint cannot be reached")]
pub(crate) struct CheckArgs {
    /// URL of the stream, of any server.
    #[arg(value_parser = values::http_url)]
    url: Url,

    /// Time to watch the stream. Use more than 66s to test keep-alives on an idle stream.
    #[arg(long = "for", value_name = "TIME", default_value = "20s", value_parser = duration::parse)]
    length: Duration,

    /// Publish sixteen small events with POST to this URL, and check how they arrive.
    #[arg(long, value_name = "URL", value_parser = values::http_url)]
    publish_url: Option<Url>,

    /// Extra header for --publish-url, such as `Authorization: Bearer x`. Repeatable.
    #[arg(long, value_name = "NAME: VALUE", requires = "publish_url", value_parser = header)]
    publish_header: Vec<(HeaderName, HeaderValue)>,

    /// Content type of the published events.
    #[arg(long, value_name = "TYPE", default_value = "text/plain; charset=utf-8")]
    #[arg(value_parser = header_value)]
    publish_type: HeaderValue,

    /// Extra header for requests to the stream. It is not sent after a redirect to another origin.
    /// Repeatable.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,

    /// Bearer token for the stream, and for --publish-url if it has the same origin [default: the
    /// environment variable `STENTOR_TOKEN`, used only for the server at `STENTOR_URL`].
    #[arg(long, value_name = "TOKEN", value_parser = values::header_value)]
    token: Option<String>,

    /// Connect to this Unix socket instead of the host in the URL.
    #[arg(long, value_name = "PATH")]
    unix_socket: Option<PathBuf>,

    /// Trust the certificates in this PEM file, in addition to those of the system.
    #[arg(long, value_name = "FILE", value_parser = RootCertificates::read)]
    root_certificate: Option<RootCertificates>,

    /// Test CORS for this origin, such as `https://app.example` [default: report CORS without judging it].
    #[arg(long, value_name = "ORIGIN", value_parser = values::origin)]
    origin: Option<String>,

    /// Maximum delay for something that should be immediate.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration::parse)]
    patience: Duration,

    /// Shortest idle timeout of the proxies on the path.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration::parse)]
    idle_timeout: Duration,

    /// Print the report as a JSON object.
    #[arg(long)]
    json: bool,

    /// Explain passed checks as well.
    #[arg(long, conflicts_with = "json")]
    explain: bool,
}

pub(crate) async fn run(args: CheckArgs) -> anyhow::Result<ExitCode> {
    let diagnosis = args.diagnosis()?;
    let report = match diagnosis.run().await {
        Ok(report) => report,
        Err(error) => {
            let url = without_password(&args.url);
            print_message(format_args!("{}", cannot_reach(&url, &error.to_string())));
            return Ok(ExitCode::from(UNREACHABLE));
        }
    };
    let text = if args.json {
        report.json().to_string()
    } else {
        report.lines(args.explain, Style::of_stdout()).join("\n")
    };
    print_line(&text)?;
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
            self.root_certificate.clone(),
            self.patience,
        )?;
        // Unique, so that events of other publishers cannot be taken for ours.
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

    /// `true` if the stream is on the default server of the other commands.
    fn is_own(&self) -> bool {
        let server = std::env::var("STENTOR_URL");
        let server = server.unwrap_or_else(|_| "http://localhost:8080".to_owned());
        Url::parse(&server).is_ok_and(|server| server.origin() == self.url.origin())
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let values::Header { name, value } = values::header(text)?;
    let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
    Ok((name, HeaderValue::try_from(value).map_err(|error| error.to_string())?))
}

fn header_value(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(values::header_value(text)?).map_err(|error| error.to_string())
}
