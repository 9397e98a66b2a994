//! The plan of a load test: its options, checked and resolved.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::ClientConfig;

use crate::http::endpoint::{Endpoint, Url};
use crate::http::socket::Target;
use crate::http::template::Template;
use crate::http::tls;
use crate::options::{Header, InvalidOptions, Options, Pace};

/// Path of the topics if the server is assumed to be Stentor.
const STENTOR_TOPICS: &str = "/topics/bench/{topic}";
/// File descriptors needed in addition to the connections.
const OTHER_FILES: u64 = 32;
/// Maximum number of events of a run. Each is kept in memory.
const EVENTS_MAX: u32 = 20_000_000;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) subscribe: Endpoint,
    pub(crate) subscribe_at: Target,
    pub(crate) task: Task,
    /// Destination of events; `None` if the run does not publish.
    pub(crate) publish: Option<Endpoint>,
    pub(crate) publish_at: Target,
    /// `true` if events go to topics below `bench/` of a server that is assumed to be Stentor.
    pub(crate) uses_bench_topics: bool,
    pub(crate) subscribers: usize,
    /// Streams of a connection with HTTP/2; `None` for HTTP/1.1.
    pub(crate) streams_per_connection: Option<usize>,
    pub(crate) slow: usize,
    pub(crate) topics: usize,
    pub(crate) ramp: Option<f64>,
    pub(crate) connecting: usize,
    pub(crate) settle: Duration,
    pub(crate) storm: Option<Storm>,
    pub(crate) pace: Pace,
    pub(crate) events: u32,
    pub(crate) span: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) bytes: usize,
    pub(crate) publishers: usize,
    pub(crate) patience: Duration,
    pub(crate) limit: Duration,
    pub(crate) spins: bool,
}

/// The measured phase, after the subscribers have connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Publish,
    Listen,
    /// Opens and closes this many more connections.
    Churn(u64),
    /// Nothing: only connects and memory are measured.
    ConnectOnly,
}

impl Task {
    fn of(options: &Options, publishes: bool) -> Task {
        match (options.churn, options.events) {
            (Some(connections), _) => Task::Churn(connections.into()),
            (_, Some(0)) => Task::ConnectOnly,
            _ if publishes => Task::Publish,
            _ => Task::Listen,
        }
    }
}

/// Storms: a share of the subscribers drops its connections and reconnects at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Storm {
    pub(crate) share: f64,
    pub(crate) every: Duration,
}

impl Plan {
    pub(crate) fn new(options: &Options) -> anyhow::Result<Plan> {
        let mut url = Url::parse(&options.url)?;
        let mut publish = options.publish.as_deref().map(Url::parse).transpose()?;
        let is_stentor = url.path == "/";
        let uses_bench_topics = is_stentor && publish.is_none();
        if is_stentor {
            STENTOR_TOPICS.clone_into(&mut url.path);
            publish.get_or_insert_with(|| url.clone());
        }
        let headers = headers(options, is_stentor)?;
        let subscribe_headers = headers.clone() + &lines(&options.subscribe_headers);
        let subscribe = Endpoint::new(url, subscribe_headers, options.subscribe_body.as_deref());
        let task = Task::of(options, publish.is_some());
        let publish = publish.filter(|_| task == Task::Publish);
        let publish = publish.map(|url| publish_endpoint(url, headers, options)).transpose()?;
        check_counts(options, task, &subscribe, publish.as_ref())?;
        let (subscribe_at, publish_at) = targets(options, &subscribe, publish.as_ref())?;
        let is_counted = options.events.is_some() || options.churn.is_some();
        let span = options.span.unwrap_or(Duration::from_secs(if is_counted { 60 } else { 10 }));
        Ok(Plan {
            subscribe,
            subscribe_at,
            task,
            publish,
            publish_at,
            uses_bench_topics,
            subscribers: options.subscribers as usize,
            streams_per_connection: options
                .http2
                .then_some(options.streams_per_connection.max(1) as usize),
            slow: options.slow as usize,
            topics: options.topics as usize,
            ramp: options.ramp,
            connecting: options.connecting as usize,
            settle: options.settle,
            storm: options.storm.map(|share| Storm { share, every: options.storm_every }),
            pace: options.pace,
            events: options.events.unwrap_or(EVENTS_MAX).min(EVENTS_MAX),
            span,
            warm_up: options.warm_up,
            bytes: options.size as usize,
            publishers: options.publishers.into(),
            patience: options.patience,
            limit: options.limit.unwrap_or(span * 4 + Duration::from_mins(1)),
            spins: options.spin,
        })
    }

    /// The topic of a subscriber.
    pub(crate) fn topic(&self, subscriber: usize) -> usize {
        subscriber % self.topics
    }

    /// Returns `true` for the slow subscribers, which are spread evenly among the others.
    pub(crate) fn is_slow(&self, subscriber: usize) -> bool {
        let step = self.subscribers.checked_div(self.slow).unwrap_or(usize::MAX);
        subscriber % step == step - 1 && subscriber / step < self.slow
    }
}

/// Header lines of all requests.
fn headers(options: &Options, is_stentor: bool) -> anyhow::Result<String> {
    let default = options.stentor_token.clone().filter(|_| is_stentor);
    let mut headers = lines(&options.headers);
    if let Some(token) = options.token.clone().or(default).filter(|token| !token.is_empty()) {
        headers += header("Authorization", &format!("Bearer {token}")).context("the token")?.line();
    }
    Ok(headers)
}

fn header(name: &str, value: &str) -> anyhow::Result<Header> {
    format!("{name}: {value}").parse().map_err(anyhow::Error::msg)
}

fn lines(headers: &[Header]) -> String {
    headers.iter().map(Header::line).collect()
}

fn publish_endpoint(url: Url, headers: String, options: &Options) -> anyhow::Result<Endpoint> {
    if !Template::parse(&options.body).has_mark() {
        let message = "the body has no {mark}, which identifies an event; add it to --body";
        bail!(InvalidOptions::new(message));
    }
    let content_type = header("Content-Type", &options.content_type).context("the content type")?;
    let headers = headers + content_type.line() + &lines(&options.publish_headers);
    Ok(Endpoint::new(url, headers, Some(&options.body)))
}

fn check_counts(
    options: &Options,
    task: Task,
    subscribe: &Endpoint,
    publish: Option<&Endpoint>,
) -> anyhow::Result<()> {
    let has_topic = subscribe.has_topic() && publish.is_none_or(Endpoint::has_topic);
    if options.topics > 1 && !has_topic {
        let message = "with several topics, {topic} must be part of --url and of --publish";
        bail!(InvalidOptions::new(message));
    }
    if options.subscribers == 0 && !matches!(task, Task::Publish | Task::Churn(_)) {
        let message = "there is nothing to measure: set --subscribers above 0, or --publish";
        bail!(InvalidOptions::new(message));
    }
    if options.slow > 0 && options.slow >= options.subscribers {
        bail!(InvalidOptions::new(format!(
            "--slow {} leaves none of the {} subscribers to measure; lower it",
            options.slow, options.subscribers
        )));
    }
    if options.http2 && options.slow > 0 {
        let message = "--slow needs HTTP/1.1; leave out --slow or --http2";
        bail!(InvalidOptions::new(message));
    }
    let streams = if options.http2 { options.streams_per_connection.max(1) } else { 1 };
    let connections = options.subscribers.div_ceil(streams);
    let others =
        if let Task::Churn(_) = task { options.connecting } else { options.publishers.into() };
    check_open_files(u64::from(connections) + u64::from(others))
}

/// Fails if the process may not open this many connections.
fn check_open_files(connections: u64) -> anyhow::Result<()> {
    let Ok(limits) = fs::read_to_string("/proc/self/limits") else { return Ok(()) };
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let mut words =
        line.unwrap_or_default().split_whitespace().map(|word| word.parse().unwrap_or(u64::MAX));
    let (soft, hard) = (words.next().unwrap_or(u64::MAX), words.next().unwrap_or(u64::MAX));
    let needed = connections + OTHER_FILES;
    if needed > hard {
        bail!(
            "this needs {needed} open files, and the limit is {hard}; use fewer subscribers, or run several \
             `stentor bench` at the same time with --keep"
        );
    }
    if needed > soft {
        bail!(
            "this needs {needed} open files, and the limit is {soft}; run `ulimit -n {hard}` first"
        );
    }
    Ok(())
}

/// Resolves the addresses of the subscribers' and the publishers' requests.
fn targets(
    options: &Options,
    subscribe: &Endpoint,
    publish: Option<&Endpoint>,
) -> anyhow::Result<(Target, Target)> {
    let endpoints = [Some(subscribe), publish];
    let is_encrypted = endpoints.into_iter().flatten().any(|it| it.url.is_encrypted);
    let tls = tls_config(options, is_encrypted)?;
    let protocol = if options.http2 { tls::HTTP2 } else { tls::HTTP1 };
    let subscribe_tls = tls.as_deref().map(|config| tls::with_protocol(config, protocol));
    let subscribe_at = Target::find(&subscribe.url, subscribe_tls.as_ref())?;
    let publish_at = match publish {
        None => subscribe_at.clone(),
        Some(publish) => Target::find(&publish.url, tls.as_ref())?,
    };
    Ok((subscribe_at, publish_at))
}

fn tls_config(options: &Options, is_encrypted: bool) -> anyhow::Result<Option<Arc<ClientConfig>>> {
    let roots = options.root_certificate.as_deref();
    if !is_encrypted && roots.is_some() {
        let message = "--root-certificate needs an https:// URL, and there is none";
        bail!(InvalidOptions::new(message));
    }
    is_encrypted.then(|| tls::config(roots)).transpose()
}
