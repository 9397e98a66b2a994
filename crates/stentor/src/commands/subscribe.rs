//! `stentor sub`.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, select_all, unfold};
use stentor_client::{
    Control, Event, EventObject, EventSource, EventSourceError, Item, Piece, ServerUrl, State,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::output::{Format, Printer, talk};

/// When a silent connection to our own server is dead: it sends something every 18 s at the latest.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Debug, clap::Args)]
pub(crate) struct SubArgs {
    /// What to follow: a topic, `*` for one segment and `**` for all the rest of a name, or the
    /// address of any stream of Server-Sent Events.
    #[arg(value_name = "TOPIC|URL", required = true)]
    what: Vec<String>,

    /// The address of the server that has the topics.
    #[arg(long, env = "STENTOR_URL", default_value = "http://localhost:8080")]
    url: String,

    /// How to print an event: `pretty` on a terminal, else `data`, unless told otherwise.
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Stop after so many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Where to begin in the topics.
    #[arg(long, value_enum, conflicts_with_all = ["last", "last_event_id"])]
    from: Option<From>,

    /// Begin with the newest N events of the topics.
    #[arg(long, value_name = "N", conflicts_with = "last_event_id")]
    last: Option<u32>,

    /// Begin behind the event with this id.
    #[arg(long, value_name = "ID")]
    last_event_id: Option<String>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum From {
    /// With the oldest event that there is.
    Earliest,
    /// With the next event.
    Now,
}

pub(crate) async fn run(args: SubArgs) -> anyhow::Result<ExitCode> {
    let format = args.format.unwrap_or_else(Format::of_stdout);
    let targets = args.targets(format)?;
    let is_mixed = targets.len() > 1 || targets.iter().any(|target| target.kind == Kind::Topics);
    let printer = Printer::new(format, is_mixed);
    let last_event_id = args.last_event_id.as_deref();
    let followings = targets.into_iter().map(|target| Following::begin(target, last_event_id));
    let followings = followings.collect::<anyhow::Result<Vec<_>>>()?;
    let mut pieces = select_all(followings.into_iter().map(Following::pieces));
    let mut left = args.count;
    while let Some(piece) = pieces.next().await {
        match print(&printer, &piece?, &mut left) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            result => result.context("stdout cannot be written")?,
        }
        if left == Some(0) {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a piece; if it is an event, there is one less left to print.
fn print(printer: &Printer, received: &Received, left: &mut Option<u64>) -> io::Result<()> {
    printer.bytes(&received.bytes)?;
    if let Some(event) = &received.event {
        printer.event(event, &received.source)?;
        *left = left.map(|left| left.saturating_sub(1));
    }
    Ok(())
}

/// One stream to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    /// What it is called when there is talk of it.
    name: String,
    url: String,
    kind: Kind,
    /// Whether each event's data is an event object.
    is_enveloped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One topic of our server, which is over with its end.
    Topic,
    /// Several of them, in one stream.
    Topics,
    /// Any stream at all.
    Address,
}

impl SubArgs {
    /// All topics in one stream, and one for each address.
    fn targets(&self, format: Format) -> anyhow::Result<Vec<Target>> {
        let (urls, topics): (Vec<_>, Vec<_>) =
            self.what.iter().map(String::as_str).partition(|what| what.contains("://"));
        if topics.is_empty() && (self.from.is_some() || self.last.is_some()) {
            bail!(
                "--from and --last are for topics; an address has its start options within itself"
            );
        }
        let mut targets = Vec::new();
        if !topics.is_empty() {
            targets.push(self.topics(&topics, format)?);
        }
        targets.extend(urls.into_iter().map(Target::at));
        if targets.len() > 1 && self.last_event_id.is_some() {
            bail!("--last-event-id is the place in one stream; follow one at a time with it");
        }
        Ok(targets)
    }

    fn topics(&self, topics: &[&str], format: Format) -> anyhow::Result<Target> {
        let server = ServerUrl::new(&self.url).context("the address of the server")?;
        let (mut url, kind) = match topics {
            [topic] if !is_filter(topic) => (server.topic(topic)?, Kind::Topic),
            _ => (server.events(topics.iter().copied()), Kind::Topics),
        };
        // The plain form has neither topic nor time, but is the one that others see.
        let is_enveloped = kind == Kind::Topics || matches!(format, Format::Json | Format::Pretty);
        let mut query = Vec::new();
        query.extend(is_enveloped.then(|| ("envelope", "json".to_owned())));
        query.extend(self.from.map(|from| ("from", from.as_str().to_owned())));
        query.extend(self.last.map(|last| ("last", last.to_string())));
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(Target { name: topics.join(" "), url: url.into(), kind, is_enveloped })
    }
}

impl From {
    fn as_str(self) -> &'static str {
        match self {
            From::Earliest => "earliest",
            From::Now => "now",
        }
    }
}

impl Target {
    fn at(url: &str) -> Target {
        let (name, url) = (url.to_owned(), url.to_owned());
        Target { name, url, kind: Kind::Address, is_enveloped: false }
    }
}

fn is_filter(topic: &str) -> bool {
    topic.split('/').any(|segment| matches!(segment, "*" | "**"))
}

/// A stream that is being followed.
struct Following {
    target: Target,
    source: EventSource,
    states: watch::Receiver<State>,
    /// Whether a reconnect is worth a word.
    is_lost: bool,
    /// Whether the end of a topic came last, so that the end of the stream is no surprise.
    is_ended: bool,
}

/// What came of a stream.
struct Received {
    source: String,
    bytes: Vec<u8>,
    /// The event, unless it is a word of the server to the reader.
    event: Option<EventObject>,
}

impl Following {
    fn begin(target: Target, last_event_id: Option<&str>) -> anyhow::Result<Following> {
        let mut builder = EventSource::builder(&target.url);
        if target.kind != Kind::Address {
            builder = builder.idle_timeout(IDLE_TIMEOUT);
        }
        if let Some(id) = last_event_id {
            builder = builder.last_event_id(id);
        }
        let source = builder.build()?;
        let states = source.states();
        Ok(Following { target, source, states, is_lost: false, is_ended: false })
    }

    fn pieces(self) -> BoxStream<'static, anyhow::Result<Received>> {
        let next = |mut following: Following| async move {
            let received = following.next().await?;
            Some((received, following))
        };
        unfold(self, next).boxed()
    }

    async fn next(&mut self) -> Option<anyhow::Result<Received>> {
        if self.is_ended && self.target.kind == Kind::Topic {
            return None;
        }
        loop {
            tokio::select! {
                biased;
                piece = self.source.next_piece() => {
                    let piece = piece?.with_context(|| format!("cannot follow {}", self.target.name));
                    return Some(piece.map(|piece| self.receive(piece)));
                }
                Ok(()) = self.states.changed() => {
                    let state = self.states.borrow_and_update().clone();
                    self.tell_state(&state);
                }
            }
        }
    }

    fn receive(&mut self, piece: Piece) -> Received {
        let event = match piece.item {
            Some(Item::Event(event)) => self.read(event),
            _ => None,
        };
        Received { source: self.target.name.clone(), bytes: piece.bytes.into(), event }
    }

    fn read(&mut self, event: Event) -> Option<EventObject> {
        let control = Control::of(&event);
        self.is_ended = matches!(control, Some(Control::End(_)));
        match control {
            Some(control) => {
                tell_control(&control);
                None
            }
            None if self.target.is_enveloped => {
                EventObject::from_envelope(&event).or_else(|| Some(self.plain(event)))
            }
            None => Some(self.plain(event)),
        }
    }

    fn plain(&self, event: Event) -> EventObject {
        EventObject::from_plain(event, self.source.last_event_id())
    }

    fn tell_state(&mut self, state: &State) {
        let name = &self.target.name;
        match state {
            State::Waiting { reason: EventSourceError::Ended, .. } if self.is_ended => {}
            State::Waiting { until, reason, .. } => {
                self.is_lost = true;
                let wait = until.saturating_duration_since(Instant::now()).as_secs_f32();
                talk(format_args!("{name}: {reason}; trying again in {wait:.1} s"));
            }
            State::Open(_) if self.is_lost => {
                self.is_lost = false;
                talk(format_args!("{name}: connected again"));
            }
            State::Open(_) | State::Connecting | State::Closed => {}
        }
    }
}

fn tell_control(control: &Control) {
    match control {
        Control::Gap(gap) => {
            let topics = gap.topics.join(", ");
            talk(format_args!("events were lost ({}): {topics}", gap.reason));
        }
        Control::End(end) if end.reason.is_empty() => talk(format_args!("{} has ended", end.topic)),
        Control::End(end) => talk(format_args!("{} has ended: {}", end.topic, end.reason)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SubArgs,
    }

    fn urls(line: &str, format: Format) -> Vec<String> {
        let words = ["sub", "--url", "http://h"].into_iter().chain(line.split(' '));
        let targets = Line::parse_from(words).args.targets(format).unwrap();
        targets.into_iter().map(|target| target.url).collect()
    }

    fn refusal(line: &str) -> String {
        let line = Line::parse_from(std::iter::once("sub").chain(line.split(' ')));
        line.args.targets(Format::Data).unwrap_err().to_string()
    }

    #[test]
    fn one_topic_is_followed_at_its_own_address() {
        assert_eq!(urls("a/b", Format::Data), ["http://h/topics/a/b"]);
        assert_eq!(urls("a/b", Format::Raw), ["http://h/topics/a/b"]);
        assert_eq!(urls("a/b", Format::Json), ["http://h/topics/a/b?envelope=json"]);
    }

    #[test]
    fn several_topics_and_globs_share_one_stream() {
        assert_eq!(urls("a b", Format::Data), ["http://h/events?topic=a&topic=b&envelope=json"]);
        assert_eq!(urls("a/*", Format::Raw), ["http://h/events?topic=a%2F*&envelope=json"]);
        assert_eq!(urls("a*", Format::Raw), ["http://h/topics/a*"]);
    }

    #[test]
    fn an_address_is_followed_as_it_is() {
        let line = "http://x/s?a https://y/ a --last 5";
        let all = ["http://h/topics/a?last=5", "http://x/s?a", "https://y/"];
        assert_eq!(urls(line, Format::Data), all);
    }

    #[test]
    fn a_start_goes_into_the_query() {
        assert_eq!(urls("a --from earliest", Format::Data), ["http://h/topics/a?from=earliest"]);
        assert_eq!(
            urls("a --from now", Format::Json),
            ["http://h/topics/a?envelope=json&from=now"]
        );
    }

    #[test]
    fn options_that_would_do_nothing_are_refused() {
        assert!(refusal("http://x/s --last 5").contains("--last"));
        assert!(refusal("http://x/s a --last-event-id 5").contains("one at a time"));
        for line in [
            "sub a --from now --last 1",
            "sub a --last 1 --last-event-id x",
            "sub a --count 0",
            "sub",
        ] {
            assert!(Line::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
