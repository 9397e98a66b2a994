//! The topics and URLs to subscribe to.

use std::collections::HashSet;

use anyhow::{Context, bail};
use stentor_client::{ServerUrl, Url};

use super::start::StartArgs;
use crate::commands::connection::without_password;
use crate::values;

#[derive(Clone, Debug, clap::Args)]
pub(super) struct TargetArgs {
    /// Topics, patterns (`*` is one segment, `**` the rest of a name), or URLs of any SSE streams.
    #[arg(value_name = "TOPIC|URL", required = true, value_parser = values::filter_or_url)]
    targets: Vec<String>,
}

/// One stream to subscribe to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Name in messages.
    pub(super) name: String,
    pub(super) url: String,
    pub(super) kind: Kind,
    /// `true` if the data of each event is an event object.
    pub(super) is_enveloped: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Topics of the server at `--url`.
    Topics {
        /// The topics that are not patterns. When all of them have ended, the stream is over.
        names: HashSet<String>,
        /// `true` if there are patterns too: they match future topics, so the stream has no certain end.
        has_patterns: bool,
    },
    /// Any SSE stream.
    Url,
}

impl TargetArgs {
    /// Returns one stream for all topics, and one for each URL. `server` is the URL of the topics'
    /// server. With `wants_objects` events carry their topic and time, which the plain form lacks.
    ///
    /// # Errors
    /// A start option does not fit the targets.
    pub(super) fn targets(
        &self,
        server: &str,
        start: &StartArgs,
        wants_objects: bool,
    ) -> anyhow::Result<Vec<Target>> {
        let (urls, topics): (Vec<_>, Vec<_>) =
            self.targets.iter().map(String::as_str).partition(|target| values::is_url(target));
        let query = start.query();
        if let (true, Some((name, _))) = (topics.is_empty(), &query) {
            bail!(
                "--{} works with topics only; put the start options of a URL into the URL",
                name.replace('_', "-")
            );
        }
        let mut targets = Vec::new();
        if !topics.is_empty() {
            targets.push(topics_at(server, &topics, query, wants_objects)?);
        }
        targets.extend(urls.into_iter().map(Target::at));
        if targets.len() > 1 && start.last_event_id.is_some() {
            bail!("--last-event-id is the position in one stream; give one stream only");
        }
        Ok(targets)
    }
}

impl Target {
    /// `true` if its stream carries events of several topics.
    pub(super) fn is_mixed(&self) -> bool {
        match &self.kind {
            Kind::Topics { names, has_patterns } => *has_patterns || names.len() > 1,
            Kind::Url => false,
        }
    }

    fn at(url: &str) -> Target {
        let name = match Url::parse(url) {
            Ok(url) if url.password().is_some() => without_password(&url),
            _ => url.to_owned(),
        };
        Target { name, url: url.to_owned(), kind: Kind::Url, is_enveloped: false }
    }
}

fn topics_at(
    server: &str,
    topics: &[&str],
    start: Option<(&'static str, String)>,
    wants_objects: bool,
) -> anyhow::Result<Target> {
    let server = ServerUrl::new(server).context("--url")?;
    let (patterns, names): (Vec<&str>, Vec<&str>) =
        topics.iter().partition(|topic| values::is_pattern(topic));
    let mut url = match topics {
        [topic] if patterns.is_empty() => server.topic(topic)?,
        _ => server.events(topics.iter().copied()),
    };
    let is_enveloped = wants_objects || topics.len() > 1 || !patterns.is_empty();
    let envelope = is_enveloped.then(|| ("envelope", "json".to_owned()));
    let query: Vec<_> = envelope.into_iter().chain(start).collect();
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let names = names.into_iter().map(str::to_owned).collect();
    let kind = Kind::Topics { names, has_patterns: !patterns.is_empty() };
    Ok(Target { name: topics.join(" "), url: url.into(), kind, is_enveloped })
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
    fn one_topic_is_read_at_its_own_url() {
        assert_eq!(urls("a/b", false), ["http://h/topics/a/b"]);
        assert_eq!(urls("a/b", true), ["http://h/topics/a/b?envelope=json"]);
    }

    #[test]
    fn several_topics_and_patterns_share_one_stream() {
        assert_eq!(urls("a b", false), ["http://h/events?topic=a&topic=b&envelope=json"]);
        assert_eq!(urls("a/*", false), ["http://h/events?topic=a%2F*&envelope=json"]);
    }

    #[test]
    fn names_and_patterns_are_distinguished() {
        let kind = |line| targets(line, false).unwrap().remove(0).kind;
        let names = HashSet::from(["a".to_owned(), "b".to_owned()]);
        assert_eq!(kind("a b"), Kind::Topics { names: names.clone(), has_patterns: false });
        assert_eq!(kind("a c/* b"), Kind::Topics { names, has_patterns: true });
        assert_eq!(kind("http://x/"), Kind::Url);
    }

    #[test]
    fn a_url_is_used_unchanged() {
        let line = "http://x/s?a https://y/ a --last 5";
        let all = ["http://h/topics/a?last=5", "http://x/s?a", "https://y/"];
        assert_eq!(urls(line, false), all);
    }

    #[test]
    fn a_password_is_not_in_the_name() {
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
        assert!(
            refusal("http://x/s --last-each 5").starts_with("--last-each works with topics only")
        );
        assert!(refusal("http://x/s a --last-event-id 5").contains("one stream only"));
        for line in ["sub a --from now --last 1", "sub a --last 1 --last-event-id x", "sub"] {
            assert!(Line::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
