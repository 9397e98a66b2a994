//! Tracks which topics have not ended yet.

use std::collections::HashSet;

use anyhow::bail;

/// Maximum number of open topics of a pattern with `--until-end`.
const OPEN_TOPICS_MAX: usize = 100_000;

/// The topics of a stream that have not ended yet.
#[derive(Debug)]
pub(super) struct OpenTopics {
    topics: HashSet<String>,
    /// `true` if topics are added as their events arrive.
    grows: bool,
    /// `true` once a topic has ended. Before that, no open topic can mean that none has started.
    has_ended: bool,
}

impl OpenTopics {
    /// Tracks exactly these topics.
    pub(super) fn named(topics: HashSet<String>) -> OpenTopics {
        OpenTopics { topics, grows: false, has_ended: false }
    }

    /// Tracks these topics, and every topic that has an event.
    pub(super) fn seen(topics: HashSet<String>) -> OpenTopics {
        OpenTopics { topics, grows: true, has_ended: false }
    }

    /// Adds the topic of an event.
    ///
    /// # Errors
    /// There are more than [`OPEN_TOPICS_MAX`].
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

    /// Removes a topic that has ended.
    pub(super) fn end(&mut self, topic: &str) {
        self.has_ended |= self.topics.remove(topic) || self.grows;
    }

    /// Returns the progress of the topics towards their end.
    pub(super) fn progress(&self) -> EndProgress {
        match (self.has_ended && self.topics.is_empty(), self.grows) {
            (false, _) => EndProgress::Open,
            (true, false) => EndProgress::Ended,
            (true, true) => EndProgress::EndedSoFar,
        }
    }
}

/// The progress of the topics of a stream towards their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndProgress {
    /// At least one topic is open, or none has started.
    Open,
    /// All topics have ended, and no other topic can appear.
    Ended,
    /// All topics seen so far have ended; others can appear.
    EndedSoFar,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> HashSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn named_topics_are_complete_when_each_has_ended() {
        let mut open = OpenTopics::named(names(&["a", "b"]));
        open.end("a");
        open.end("a");
        open.end("other");
        assert_eq!(open.progress(), EndProgress::Open);
        open.end("b");
        assert_eq!(open.progress(), EndProgress::Ended);
    }

    #[test]
    fn topics_of_a_pattern_are_those_that_were_seen() {
        let mut open = OpenTopics::seen(names(&[]));
        assert_eq!(open.progress(), EndProgress::Open, "nothing has begun");
        open.begin("a").unwrap();
        open.begin("b").unwrap();
        open.end("a");
        assert_eq!(open.progress(), EndProgress::Open);
        open.end("b");
        assert_eq!(open.progress(), EndProgress::EndedSoFar);
        open.begin("a").unwrap();
        assert_eq!(open.progress(), EndProgress::Open, "it has started again");
    }

    #[test]
    fn an_end_can_be_the_only_record_of_a_topic() {
        let mut open = OpenTopics::seen(names(&[]));
        open.end("empty");
        assert_eq!(open.progress(), EndProgress::EndedSoFar);
    }

    #[test]
    fn open_topics_are_bounded() {
        let mut open = OpenTopics::seen(names(&[]));
        for number in 0..OPEN_TOPICS_MAX {
            open.begin(&number.to_string()).unwrap();
        }
        open.begin("0").unwrap();
        assert!(open.begin("one more").unwrap_err().to_string().contains("narrower"));
    }
}
