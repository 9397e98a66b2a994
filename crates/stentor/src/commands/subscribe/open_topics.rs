//! The topics that have not yet ended.

use std::collections::HashSet;

use anyhow::bail;

/// How many topics a pattern may find open at a time, when their ends are waited for.
const OPEN_TOPICS_MAX: usize = 100_000;

/// The topics of a stream that are still to end.
#[derive(Debug)]
pub(super) struct OpenTopics {
    topics: HashSet<String>,
    /// Whether topics are added as they are seen.
    grows: bool,
    /// Whether any has ended: before that, none open may only mean that none has begun.
    has_ended: bool,
}

impl OpenTopics {
    /// These, and no others.
    pub(super) fn named(topics: HashSet<String>) -> OpenTopics {
        OpenTopics { topics, grows: false, has_ended: false }
    }

    /// These, and each that an event comes from.
    pub(super) fn seen(topics: HashSet<String>) -> OpenTopics {
        OpenTopics { topics, grows: true, has_ended: false }
    }

    /// An event of this topic came.
    pub(super) fn begin(&mut self, topic: &str) -> anyhow::Result<()> {
        if self.grows && !self.topics.contains(topic) {
            if self.topics.len() >= OPEN_TOPICS_MAX {
                bail!(
                    "more than {OPEN_TOPICS_MAX} topics are open at a time, too many for --until-end; \
                     use a narrower pattern"
                );
            }
            self.topics.insert(topic.to_owned());
        }
        Ok(())
    }

    /// The end of this topic came.
    pub(super) fn end(&mut self, topic: &str) {
        self.has_ended |= self.topics.remove(topic) || self.grows;
    }

    /// Whether all have ended.
    pub(super) fn end_of_all(&self) -> EndOfAll {
        match (self.has_ended && self.topics.is_empty(), self.grows) {
            (false, _) => EndOfAll::Ahead,
            (true, false) => EndOfAll::Final,
            (true, true) => EndOfAll::UnlessMoreComes,
        }
    }
}

/// The end of all topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndOfAll {
    /// Is to come.
    Ahead,
    /// Was.
    Final,
    /// Was, as far as topics are known.
    UnlessMoreComes,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> HashSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn named_topics_are_over_when_each_has_ended() {
        let mut open = OpenTopics::named(names(&["a", "b"]));
        open.end("a");
        open.end("a");
        open.end("other");
        assert_eq!(open.end_of_all(), EndOfAll::Ahead);
        open.end("b");
        assert_eq!(open.end_of_all(), EndOfAll::Final);
    }

    #[test]
    fn topics_of_a_pattern_are_those_that_were_seen() {
        let mut open = OpenTopics::seen(names(&[]));
        assert_eq!(open.end_of_all(), EndOfAll::Ahead, "nothing has begun");
        open.begin("a").unwrap();
        open.begin("b").unwrap();
        open.end("a");
        assert_eq!(open.end_of_all(), EndOfAll::Ahead);
        open.end("b");
        assert_eq!(open.end_of_all(), EndOfAll::UnlessMoreComes);
        open.begin("a").unwrap();
        assert_eq!(open.end_of_all(), EndOfAll::Ahead, "it was born again");
    }

    #[test]
    fn an_end_may_be_all_there_is_of_a_topic() {
        let mut open = OpenTopics::seen(names(&[]));
        open.end("empty");
        assert_eq!(open.end_of_all(), EndOfAll::UnlessMoreComes);
    }

    #[test]
    fn they_are_bounded() {
        let mut open = OpenTopics::seen(names(&[]));
        for number in 0..OPEN_TOPICS_MAX {
            open.begin(&number.to_string()).unwrap();
        }
        open.begin("0").unwrap();
        assert!(open.begin("one more").unwrap_err().to_string().contains("narrower"));
    }
}
