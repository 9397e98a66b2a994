//! What is to be done: the arguments, checked.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use rustls::ClientConfig;

use super::args::BenchArgs;
use super::endpoint::{Endpoint, Url};
use super::socket::Target;
use super::template::Template;
use super::tls;

/// The topics of one of our servers.
const OUR_TOPICS: &str = "/topics/bench/{topic}";
/// Files that are open beside the connections.
const FILES_BESIDE: u64 = 32;
/// The most events of a run: each is remembered.
const EVENTS_MAX: u32 = 20_000_000;

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) subscribe: Endpoint,
    pub(super) subscribe_at: Target,
    pub(super) task: Task,
    /// Where events go, when that is the task.
    pub(super) publish: Option<Endpoint>,
    pub(super) publish_at: Target,
    pub(super) readers: usize,
    pub(super) slow: usize,
    pub(super) topics: usize,
    pub(super) ramp: Option<f64>,
    pub(super) connecting: usize,
    pub(super) settle: Duration,
    pub(super) storm: Option<Storm>,
    pub(super) pace: Pace,
    pub(super) events: u32,
    pub(super) span: Duration,
    pub(super) warm_up: Duration,
    pub(super) bytes: usize,
    pub(super) publishers: usize,
    pub(super) patience: Duration,
    pub(super) limit: Duration,
    pub(super) spins: bool,
    pub(super) pid: Option<u32>,
}

/// What is done once the readers are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Publish,
    Listen,
    /// So many more connections come and go.
    Churn(u64),
    /// Nothing: connecting was all.
    Rest,
}

impl Task {
    fn of(args: &BenchArgs, publishes: bool) -> Task {
        match (args.churn, args.events) {
            (Some(connections), _) => Task::Churn(connections.into()),
            (_, Some(0)) => Task::Rest,
            _ if publishes => Task::Publish,
            _ => Task::Listen,
        }
    }
}

/// When events are published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// Open loop: so many a second.
    Rate(f64),
    /// Closed loop: at most so many that have not reached all.
    Window(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Storm {
    pub(super) share: f64,
    pub(super) every: Duration,
}

impl Plan {
    pub(super) fn new(args: &BenchArgs) -> anyhow::Result<Plan> {
        let mut url = Url::parse(&args.url)?;
        let mut publish = args.publish.as_deref().map(Url::parse).transpose()?;
        let is_ours = url.path == "/";
        if is_ours {
            OUR_TOPICS.clone_into(&mut url.path);
            publish.get_or_insert_with(|| url.clone());
        }
        let headers = headers(args, is_ours)?;
        let subscribe_headers = headers.clone() + &args.subscribe_header.concat();
        let subscribe = Endpoint::new(url, subscribe_headers, args.subscribe_body.as_deref());
        let task = Task::of(args, publish.is_some());
        let publish = publish.filter(|_| task == Task::Publish);
        let publish = publish.map(|url| publish_endpoint(url, headers, args)).transpose()?;
        let is_told_apart =
            subscribe.has_topic() && publish.as_ref().is_none_or(Endpoint::has_topic);
        if args.topics > 1 && !is_told_apart {
            bail!("of several topics {{topic}} must stand in the URL of readers and publishers");
        }
        if args.subscribers == 0 && !matches!(task, Task::Publish | Task::Churn(_)) {
            bail!("without readers nothing can be heard; have some, or publish");
        }
        if args.slow > 0 && args.slow >= args.subscribers {
            bail!(
                "of {} readers {} cannot be slow; somebody must listen",
                args.subscribers,
                args.slow
            );
        }
        let beside =
            if let Task::Churn(_) = task { args.connecting } else { args.publishers.into() };
        check_files(u64::from(args.subscribers) + u64::from(beside))?;
        let urls = [Some(&subscribe), publish.as_ref()].map(|it| it.map(|it| &it.url));
        let tls = tls_config(args, urls.into_iter().flatten().any(|url| url.is_encrypted))?;
        let subscribe_at = Target::find(&subscribe.url, tls.as_ref())?;
        let publish_at = match &publish {
            None => subscribe_at.clone(),
            Some(publish) => Target::find(&publish.url, tls.as_ref())?,
        };
        let is_counted = args.events.is_some() || args.churn.is_some();
        let span = args.span.unwrap_or(Duration::from_secs(if is_counted { 60 } else { 10 }));
        let storm = args.storm.map(|share| Storm { share, every: args.storm_every });
        let pace = args.window.map_or_else(
            || Pace::Rate(args.rate.unwrap_or(100.0)),
            |window| Pace::Window(window as usize),
        );
        Ok(Plan {
            subscribe,
            subscribe_at,
            task,
            publish,
            publish_at,
            readers: args.subscribers as usize,
            slow: args.slow as usize,
            topics: args.topics as usize,
            ramp: args.ramp,
            connecting: args.connecting as usize,
            settle: args.settle,
            storm,
            pace,
            events: args.events.unwrap_or(EVENTS_MAX).min(EVENTS_MAX),
            span,
            warm_up: args.warm_up,
            bytes: args.size as usize,
            publishers: args.publishers.into(),
            patience: args.patience,
            limit: args.limit.unwrap_or(span * 4 + Duration::from_mins(1)),
            spins: args.spin,
            pid: args.pid,
        })
    }

    /// The topic of a reader.
    pub(super) fn topic(&self, reader: usize) -> usize {
        reader % self.topics
    }

    /// Whether a reader is one of the slow ones, which are spread among the others.
    pub(super) fn is_slow(&self, reader: usize) -> bool {
        let step = self.readers.checked_div(self.slow).unwrap_or(usize::MAX);
        reader % step == step - 1 && reader / step < self.slow
    }
}

/// Those of all requests.
fn headers(args: &BenchArgs, is_ours: bool) -> anyhow::Result<String> {
    let of_environment = || std::env::var("STENTOR_TOKEN").ok().filter(|_| is_ours);
    let mut headers = args.header.concat();
    if let Some(token) = args.token.clone().or_else(of_environment).filter(|it| !it.is_empty()) {
        let line = super::args::header(&format!("Authorization: Bearer {token}"));
        headers += &line.map_err(anyhow::Error::msg).context("the token")?;
    }
    Ok(headers)
}

fn publish_endpoint(url: Url, headers: String, args: &BenchArgs) -> anyhow::Result<Endpoint> {
    if !Template::parse(&args.body).has_mark() {
        bail!("the body has no {{mark}}, by which an event is known again");
    }
    let content_type = super::args::header(&format!("Content-Type: {}", args.content_type));
    let content_type = content_type.map_err(anyhow::Error::msg).context("the content type")?;
    let headers = headers + &content_type + &args.publish_header.concat();
    Ok(Endpoint::new(url, headers, Some(&args.body)))
}

/// Whom to trust, where that is of use.
fn tls_config(args: &BenchArgs, is_encrypted: bool) -> anyhow::Result<Option<Arc<ClientConfig>>> {
    let roots = args.root_certificate.as_deref();
    if !is_encrypted && roots.is_some() {
        bail!("--root-certificate is for https://, and there is none here");
    }
    is_encrypted.then(|| tls::config(roots)).transpose()
}

/// Says it beforehand when there cannot be so many connections.
fn check_files(connections: u64) -> anyhow::Result<()> {
    let Ok(limits) = fs::read_to_string("/proc/self/limits") else { return Ok(()) };
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let mut words =
        line.unwrap_or_default().split_whitespace().map(|word| word.parse().unwrap_or(u64::MAX));
    let (soft, hard) = (words.next().unwrap_or(u64::MAX), words.next().unwrap_or(u64::MAX));
    let needed = connections + FILES_BESIDE;
    if needed > hard {
        bail!(
            "{needed} open files are needed and {hard} are allowed at most; have fewer readers, or \
             several of this command"
        );
    }
    if needed > soft {
        bail!(
            "{needed} open files are needed and {soft} are allowed; say `ulimit -n {hard}` before"
        );
    }
    Ok(())
}
