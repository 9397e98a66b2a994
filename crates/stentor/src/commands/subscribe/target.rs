//! What to follow.

use std::collections::HashSet;

use anyhow::{Context, bail};
use stentor_client::{ServerUrl, Url};

use super::start::StartArgs;
use crate::commands::connection::without_password;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct TargetArgs {
    /// What to follow: a topic, `*` for one segment and `**` for all the rest of a name, or the
    /// address of any stream of Server-Sent Events.
    #[arg(value_name = "TOPIC|URL", required = true)]
    what: Vec<String>,
}

/// One stream to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// What it is called when there is talk of it.
    pub(super) name: String,
    pub(super) url: String,
    pub(super) kind: Kind,
    /// Whether each event's data is an event object.
    pub(super) is_enveloped: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Topics of the server at `--url`.
    Topics {
        /// Those with a whole name; when they have ended the stream is over.
        names: HashSet<String>,
        /// Whether there are patterns too, which match topics to come, so that there is no end.
        has_globs: bool,
    },
    /// Any stream at all.
    Address,
}

impl TargetArgs {
    /// All topics in one stream, and one for each address. In the plain form an event has neither
    /// topic nor time; `wants_objects` asks for both. `server` is the address of the topics.
    pub(super) fn targets(
        &self,
        server: &str,
        start: &StartArgs,
        wants_objects: bool,
    ) -> anyhow::Result<Vec<Target>> {
        let (urls, topics): (Vec<_>, Vec<_>) =
            self.what.iter().map(String::as_str).partition(|what| what.contains("://"));
        let query = start.query();
        if let (true, Some((name, _))) = (topics.is_empty(), &query) {
            bail!(
                "--{} is for topics; an address has its start options within itself",
                name.replace('_', "-")
            );
        }
        let mut targets = Vec::new();
        if !topics.is_empty() {
            targets.push(topics_at(server, &topics, query, wants_objects)?);
        }
        targets.extend(urls.into_iter().map(Target::at));
        if targets.len() > 1 && start.last_event_id.is_some() {
            bail!("--last-event-id is the place in one stream; follow one at a time with it");
        }
        Ok(targets)
    }
}

impl Target {
    /// Whether events of several topics come in its stream.
    pub(super) fn is_mixed(&self) -> bool {
        match &self.kind {
            Kind::Topics { names, has_globs } => *has_globs || names.len() > 1,
            Kind::Address => false,
        }
    }

    fn at(url: &str) -> Target {
        let name = match Url::parse(url) {
            Ok(url) if url.password().is_some() => without_password(&url),
            _ => url.to_owned(),
        };
        Target { name, url: url.to_owned(), kind: Kind::Address, is_enveloped: false }
    }
}

fn topics_at(
    server: &str,
    topics: &[&str],
    start: Option<(&'static str, String)>,
    wants_objects: bool,
) -> anyhow::Result<Target> {
    let server = ServerUrl::new(server).context("the address of the server")?;
    let (globs, names): (Vec<&str>, Vec<&str>) = topics.iter().partition(|topic| is_glob(topic));
    let mut url = match topics {
        [topic] if globs.is_empty() => server.topic(topic)?,
        _ => server.events(topics.iter().copied()),
    };
    let is_enveloped = wants_objects || topics.len() > 1 || !globs.is_empty();
    let envelope = is_enveloped.then(|| ("envelope", "json".to_owned()));
    let query: Vec<_> = envelope.into_iter().chain(start).collect();
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let names = names.into_iter().map(str::to_owned).collect();
    let kind = Kind::Topics { names, has_globs: !globs.is_empty() };
    Ok(Target { name: topics.join(" "), url: url.into(), kind, is_enveloped })
}

fn is_glob(topic: &str) -> bool {
    topic.split('/').any(|segment| matches!(segment, "*" | "**"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        target: TargetArgs,
        #[command(flatten)]
        start: StartArgs,
    }

    fn targets(line: &str, wants_objects: bool) -> anyhow::Result<Vec<Target>> {
        let line = Line::parse_from(std::iter::once("sub").chain(line.split(' ')));
        line.target.targets("http://h", &line.start, wants_objects)
    }

    fn urls(line: &str, wants_objects: bool) -> Vec<String> {
        let targets = targets(line, wants_objects).unwrap();
        targets.into_iter().map(|target| target.url).collect()
    }

    fn refusal(line: &str) -> String {
        targets(line, false).unwrap_err().to_string()
    }

    #[test]
    fn one_topic_is_followed_at_its_own_address() {
        assert_eq!(urls("a/b", false), ["http://h/topics/a/b"]);
        assert_eq!(urls("a/b", true), ["http://h/topics/a/b?envelope=json"]);
    }

    #[test]
    fn several_topics_and_globs_share_one_stream() {
        assert_eq!(urls("a b", false), ["http://h/events?topic=a&topic=b&envelope=json"]);
        assert_eq!(urls("a/*", false), ["http://h/events?topic=a%2F*&envelope=json"]);
        assert_eq!(urls("a*", false), ["http://h/topics/a*"]);
    }

    #[test]
    fn names_and_patterns_are_told_apart() {
        let kind = |line| targets(line, false).unwrap().remove(0).kind;
        let names = HashSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(kind("a b"), Kind::Topics { names: names.clone(), has_globs: false });
        assert_eq!(kind("a c/* b"), Kind::Topics { names, has_globs: true });
        assert_eq!(kind("http://x/"), Kind::Address);
    }

    #[test]
    fn an_address_is_followed_as_it_is() {
        let line = "http://x/s?a https://y/ a --last 5";
        let all = ["http://h/topics/a?last=5", "http://x/s?a", "https://y/"];
        assert_eq!(urls(line, false), all);
    }

    #[test]
    fn a_password_is_not_talked_of() {
        let target = targets("http://me:secret@h/s http://h/s", false).unwrap();
        assert_eq!((&*target[0].url, &*target[0].name), ("http://me:secret@h/s", "http://me@h/s"));
        assert_eq!(target[1].name, "http://h/s");
    }

    #[test]
    fn a_start_goes_into_the_query() {
        for (start, query) in [
            ("--from earliest", "from=earliest"),
            ("--from now", "from=now"),
            ("--last 3", "last=3"),
            ("--last-each 2", "last_each=2"),
            ("--since 2026-01-31T13:00:00+01:00", "since=2026-01-31T12%3A00%3A00Z"),
        ] {
            let url = format!("http://h/topics/a?envelope=json&{query}");
            assert_eq!(urls(&format!("a {start}"), true), [url]);
        }
    }

    #[test]
    fn options_that_would_do_nothing_are_refused() {
        assert!(refusal("http://x/s --last-each 5").starts_with("--last-each is for topics"));
        assert!(refusal("http://x/s a --last-event-id 5").contains("one at a time"));
        for line in ["sub a --from now --last 1", "sub a --last 1 --last-event-id x", "sub"] {
            assert!(Line::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
