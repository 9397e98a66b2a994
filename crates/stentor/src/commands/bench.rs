//! `stentor bench`: load-tests a server. The work is done by the crate `stentor-load`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, thread};

use anyhow::Context;
use indicatif::ProgressBar;
use stentor_load::{Cleanup, Header, LoadTest, Options, Pace, report};
use tokio_util::sync::CancellationToken;

use crate::output::{print_line, print_message, without_library_texts};
use crate::signals::Signals;
use crate::{duration, values};

/// Exit code if events were lost, duplicated or out of order.
const FAULTY: u8 = 3;
/// Events per second without `--rate` and `--window`.
const DEFAULT_RATE: f64 = 100.0;

/// Load-test any SSE server: throughput, latency, losses.
///
/// Connects many subscribers, publishes events that carry a marker, and checks that each subscriber
/// receives every event once and in order. Measures the time from the publish to each subscriber, and
/// to the last one. With --rate, latency is measured from the scheduled send time, so that a stalled
/// server cannot hide its delay (no coordinated omission).
///
/// If the URL has no path, the server is assumed to be Stentor: the topics are `bench/0`, `bench/1`, …, and
/// those that did not exist before are deleted at the end. For any other server give the URL of the
/// stream and, with --publish, the URL to post events to. Without --publish it only listens, and
/// measures the events that arrive.
///
/// Speaks HTTP/1.1 or HTTP/2, with or without TLS, in one thread. The result says when that thread was the
/// bottleneck. Ctrl-C ends the run early and prints the results up to then.
#[derive(Debug, clap::Args)]
#[command(after_help = SHORT_EXIT_CODES, after_long_help = EXIT_CODES_AND_EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
pub(crate) struct BenchArgs {
    /// URL of the server or of a stream; `{topic}` is replaced by the number of the topic.
    #[arg(long, env = "STENTOR_URL", default_value = "http://localhost:8080")]
    #[arg(value_parser = values::stream_url)]
    url: String,

    /// URL to post events to; `{topic}` is replaced by the number of the topic.
    #[arg(long, value_name = "URL", value_parser = values::stream_url)]
    publish: Option<String>,

    /// Add a header to all requests, such as 'Authorization: Bearer …'. Repeatable.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<Header>,

    /// Send this bearer token. Default: the environment variable `STENTOR_TOKEN`, used only if the URL
    /// has no path.
    #[arg(long, value_name = "TOKEN", value_parser = values::header_value)]
    token: Option<String>,

    /// Trust the certificates in this PEM file in addition to those of the system.
    #[arg(long, value_name = "FILE")]
    root_certificate: Option<PathBuf>,

    /// Number of subscribers; 0 only publishes.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100, help_heading = SUBSCRIBERS)]
    #[arg(value_parser = values::number)]
    subscribers: u32,

    /// Number of topics over which subscribers and events are spread.
    #[arg(long, value_name = "T", default_value_t = 1, help_heading = SUBSCRIBERS)]
    #[arg(value_parser = values::count_u32)]
    topics: u32,

    /// Subscribe over HTTP/2: with ALPN over TLS, with prior knowledge without TLS. Events are published
    /// over HTTP/1.1.
    #[arg(long, help_heading = SUBSCRIBERS)]
    http2: bool,

    /// Number of subscribers whose streams share an HTTP/2 connection.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = SUBSCRIBERS)]
    #[arg(value_parser = values::count_u32, requires = "http2")]
    streams_per_connection: u32,

    /// Number of slow subscribers (1 KiB/s) among them, excluded from the results. HTTP/1.1 only.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = SUBSCRIBERS)]
    #[arg(value_parser = values::number)]
    slow: u32,

    /// Connect R subscribers per second. Default: as fast as the server accepts.
    #[arg(long, value_name = "R", help_heading = SUBSCRIBERS, value_parser = positive)]
    ramp: Option<f64>,

    /// Maximum number of concurrent connection attempts.
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = SUBSCRIBERS)]
    #[arg(value_parser = values::count_u32)]
    connecting: u32,

    /// Repeatedly drop the connections of this share of the subscribers, such as 50%; they reconnect at
    /// once with `Last-Event-ID`.
    #[arg(long, value_name = "SHARE", help_heading = SUBSCRIBERS, value_parser = share)]
    storm: Option<f64>,

    /// Time from the end of one storm, when all subscribers are back, to the next.
    #[arg(long, value_name = "TIME", default_value = "2s", help_heading = SUBSCRIBERS)]
    #[arg(value_parser = duration::parse, requires = "storm")]
    storm_every: Duration,

    /// Instead of publishing, open N more connections, --connecting at a time, and close each when its
    /// response head has arrived.
    #[arg(long, value_name = "N", help_heading = SUBSCRIBERS)]
    #[arg(value_parser = values::count_u32)]
    #[arg(conflicts_with_all = ["events", "rate", "window", "storm"])]
    churn: Option<u32>,

    /// Wait this long after connecting before measuring memory.
    #[arg(long, value_name = "TIME", default_value = "0s", help_heading = SUBSCRIBERS)]
    #[arg(value_parser = duration::parse)]
    settle: Duration,

    /// Add a header to the subscribers' requests only. Repeatable.
    #[arg(long, value_name = "NAME: VALUE", help_heading = SUBSCRIBERS)]
    subscribe_header: Vec<Header>,

    /// Subscribe with a POST of this body instead of a GET; `{topic}` is replaced.
    #[arg(long, value_name = "TEXT", help_heading = SUBSCRIBERS)]
    subscribe_body: Option<String>,

    /// Publish R events per second in total, independent of the server. Default: 100, without --window.
    #[arg(long, short = 'r', value_name = "R", help_heading = EVENTS, value_parser = positive)]
    rate: Option<f64>,

    /// Publish as fast as possible, with at most N events in flight.
    #[arg(long, short = 'w', value_name = "N", conflicts_with = "rate", help_heading = EVENTS)]
    #[arg(value_parser = values::count_u32)]
    window: Option<u32>,

    /// Stop after N events; 0 measures only connects and memory.
    #[arg(long, value_name = "N", help_heading = EVENTS, value_parser = values::number)]
    events: Option<u32>,

    /// Publish or listen for this time. Default: 10s, or 1m with --events or --churn.
    #[arg(long = "for", value_name = "TIME", help_heading = EVENTS, value_parser = duration::parse)]
    span: Option<Duration>,

    /// Publish for this time before the measurement starts.
    #[arg(long, value_name = "TIME", default_value = "1s", help_heading = EVENTS)]
    #[arg(value_parser = duration::parse)]
    warm_up: Duration,

    /// Size of an event's body in bytes.
    #[arg(long, value_name = "BYTES", default_value_t = 200, help_heading = EVENTS)]
    #[arg(value_parser = values::number)]
    size: u32,

    /// Body of an event: `{mark}` identifies the event, `{pad}` fills the body up to --size, `{topic}` is
    /// the number of the topic.
    #[arg(long, value_name = "TEXT", default_value = "{mark}{pad}", help_heading = EVENTS)]
    body: String,

    /// Content type of the body.
    #[arg(long, value_name = "TYPE", default_value = "text/plain", help_heading = EVENTS)]
    #[arg(value_parser = values::header_value)]
    content_type: String,

    /// Add a header to the publish requests only. Repeatable.
    #[arg(long, value_name = "NAME: VALUE", help_heading = EVENTS)]
    publish_header: Vec<Header>,

    /// Maximum number of connections that publish, each with one request at a time; opened as needed.
    #[arg(long, value_name = "N", default_value_t = 16, help_heading = EVENTS)]
    #[arg(value_parser = publishers)]
    publishers: u16,

    /// Keep the topics that the run has created. Default: delete them at the end.
    #[arg(long, help_heading = EVENTS)]
    keep: bool,

    /// Count missing events as lost after this much silence.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse)]
    patience: Duration,

    /// Stop the whole run after this time, connecting and waiting included. Default: 4 x --for + 1m.
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    limit: Option<Duration>,

    /// Busy-poll sockets. Uses a full core; the server then need not wake the load generator.
    #[arg(long)]
    spin: bool,

    /// Also report CPU time and memory of this process and its descendants.
    #[arg(long, value_parser = values::count_u32)]
    pid: Option<u32>,

    /// Print the result as JSON.
    #[arg(long, help_heading = RESULT)]
    json: bool,

    /// Write the result to this file as an HTML page with charts.
    #[arg(long, value_name = "FILE", help_heading = RESULT)]
    html: Option<PathBuf>,
}

const SUBSCRIBERS: &str = "Subscribers";
const EVENTS: &str = "Events";
const RESULT: &str = "Result";

const SHORT_EXIT_CODES: &str = "\
Exit codes: 0 no event was lost, duplicated or out of order; 1 could not measure, or lost the \
server; 2 the command line is wrong; 3 events were lost, duplicated or out of order.";

const EXIT_CODES_AND_EXAMPLES: &str = "\
Exit codes:
  0  measured; no event was lost, duplicated or out of order
  1  could not measure, or lost the server during the run
  2  the command line is wrong
  3  measured; events were lost, duplicated or out of order

Examples:
  stentor bench --url http://localhost:8080 --subscribers 1000 --rate 100 --for 10s
  stentor bench --subscribers 5000 --window 16 --pid $(pidof stentor) --html report.html
  stentor bench --topics 10 --url http://localhost/sub/t{topic} \\
    --publish http://localhost/pub/t{topic}
  stentor bench --url 'http://localhost/.well-known/mercure?topic=t{topic}' \\
    --publish http://localhost/.well-known/mercure --header 'Authorization: Bearer …' \\
    --content-type application/x-www-form-urlencoded --body 'topic=t{topic}&data={mark}{pad}'";

impl BenchArgs {
    fn options(&self) -> Options {
        let rate = || Pace::Rate(self.rate.unwrap_or(DEFAULT_RATE));
        Options {
            url: self.url.clone(),
            publish: self.publish.clone(),
            headers: self.header.clone(),
            token: self.token.clone(),
            stentor_token: std::env::var("STENTOR_TOKEN").ok(),
            root_certificate: self.root_certificate.clone(),
            subscribers: self.subscribers,
            topics: self.topics,
            http2: self.http2,
            streams_per_connection: self.streams_per_connection,
            slow: self.slow,
            ramp: self.ramp,
            connecting: self.connecting,
            storm: self.storm,
            storm_every: self.storm_every,
            churn: self.churn,
            settle: self.settle,
            subscribe_headers: self.subscribe_header.clone(),
            subscribe_body: self.subscribe_body.clone(),
            pace: self.window.map_or_else(rate, |window| Pace::Window(window as usize)),
            events: self.events,
            span: self.span,
            warm_up: self.warm_up,
            size: self.size,
            body: self.body.clone(),
            content_type: self.content_type.clone(),
            publish_headers: self.publish_header.clone(),
            publishers: self.publishers,
            patience: self.patience,
            limit: self.limit,
            spin: self.spin,
            pid: self.pid,
        }
    }
}

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let mut test = LoadTest::new(&args.options(), stop_on_signal()?)?;
    // Hidden unless stderr is a terminal.
    let line = ProgressBar::new_spinner();
    let mut show = |text: &str| {
        line.set_message(text.to_owned());
        line.tick();
    };
    let progress: Option<&mut dyn FnMut(&str)> =
        if line.is_hidden() { None } else { Some(&mut show) };
    let result = test.run(progress);
    line.finish_and_clear();
    if !args.keep {
        print_cleanup(&test.delete_topics());
    }
    let report = result?;
    if let Some(path) = &args.html {
        fs::write(path, without_library_texts(&report::page(&report)))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.json {
        print_line(&without_library_texts(&serde_json::to_string_pretty(&report)?))?;
    } else {
        print_line(&without_library_texts(report::text(&report).trim_end()))?;
    }
    if let Some(reason) = report.failure() {
        print_message(format_args!("{reason}"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(if report.is_faulty() { FAULTY.into() } else { ExitCode::SUCCESS })
}

fn print_cleanup(cleanup: &Cleanup) {
    let topics = |count| if count == 1 { "topic" } else { "topics" };
    let Cleanup { deleted, failed, error } = cleanup;
    if *deleted > 0 {
        let topics = topics(*deleted);
        print_message(format_args!(
            "deleted {deleted} {topics} below bench/ that this run created; --keep keeps them"
        ));
    }
    if let Some(error) = error {
        let topics = topics(*failed);
        print_message(format_args!("could not delete {failed} {topics} below bench/: {error}"));
    }
}

/// Returns a token that the first signal to stop cancels. A second signal ends the program at once.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let stop = CancellationToken::new();
    let signals = {
        let _within = runtime.enter();
        Signals::listen(stop.clone())?
    };
    thread::spawn(move || runtime.block_on(signals.watch()));
    Ok(stop)
}

fn publishers(text: &str) -> Result<u16, String> {
    let number = values::number_in(text, 1..=1024)?;
    u16::try_from(number).map_err(|error| error.to_string())
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "expected a number above 0, such as 100".to_owned())
}

/// Parses `50%` or `0.5`.
fn share(text: &str) -> Result<f64, String> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = positive(number)? / whole;
    if share <= 1.0 { Ok(share) } else { Err("expected at most 100%, such as 50%".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: BenchArgs,
    }

    #[test]
    fn the_defaults_of_the_command_are_those_of_the_library() {
        let args = Command::parse_from(["bench", "--url", "http://localhost:1"]).args;
        let library = Options::new("http://localhost:1");
        let command = Options { stentor_token: None, ..args.options() };
        assert_eq!(format!("{command:?}"), format!("{library:?}"));
    }

    #[test]
    fn a_share_is_a_percentage_or_a_fraction() {
        assert_eq!((share("25%"), share("1"), share("0.25")), (Ok(0.25), Ok(1.0), Ok(0.25)));
        for text in ["101%", "2", "0", "-1", "nan", "inf", "%", ""] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
