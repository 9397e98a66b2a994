//! Retention: limits per topic.

pub(crate) mod enforce;
mod precedence;

use std::time::Duration;

use self::precedence::Precedence;
use crate::filter::TopicFilter;
use crate::storage::TrimLimits;
use crate::timestamp::Timestamp;
use crate::topic::TopicName;

/// Limits for the topics that patterns match. The limits apply to each matching topic separately. A topic that no
/// pattern matches has no limits.
///
/// The most specific pattern wins: more literal segments first, then a pattern without `**`. Two patterns that
/// could both win for one topic are an error.
///
/// ```
/// use std::time::Duration;
/// use stentor_hub::{Retention, TopicLimits};
///
/// let week = TopicLimits { age: Some(Duration::from_hours(7 * 24)), ..TopicLimits::default() };
/// let newest = TopicLimits { events: Some(1_000), ..TopicLimits::default() };
/// let retention = Retention::new([("**".parse()?, week), ("chat/*".parse()?, newest)])?;
/// assert_eq!(retention.limits(&"chat/lobby".parse()?), Some(&newest));
/// assert_eq!(retention.limits(&"audit".parse()?), Some(&week));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Sorted by precedence: the first rule that matches wins.
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: TopicFilter,
    limits: TopicLimits,
}

/// The limits of a topic. `None` means no limit. The oldest events are removed first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TopicLimits {
    /// Maximum age of an event. The topic's end is removed at this age too, if no event is left.
    pub age: Option<Duration>,
    /// Maximum number of events.
    pub events: Option<u64>,
    /// Maximum bytes of data and types.
    pub bytes: Option<u64>,
    /// Time after its end at which the whole topic is removed, with its end.
    pub ended: Option<Duration>,
}

impl Retention {
    /// Creates a retention from rules in any order.
    ///
    /// # Errors
    ///
    /// Two patterns of the same precedence can match the same topic.
    pub fn new(
        rules: impl IntoIterator<Item = (TopicFilter, TopicLimits)>,
    ) -> Result<Retention, RetentionError> {
        let mut sorted: Vec<Rule> = Vec::new();
        for (pattern, limits) in rules {
            let of = Precedence::of(&pattern);
            let rival = sorted.iter().find(|rule| {
                Precedence::of(&rule.pattern) == of && precedence::overlap(&rule.pattern, &pattern)
            });
            if let Some(rival) = rival {
                let (first, second) = (rival.pattern.to_string(), pattern.to_string());
                return Err(RetentionError { first, second });
            }
            sorted.push(Rule { pattern, limits });
        }
        sorted.sort_by_key(|rule| std::cmp::Reverse(Precedence::of(&rule.pattern)));
        Ok(Retention { rules: sorted })
    }

    /// The limits of a topic; `None` if no pattern matches it.
    pub fn limits(&self, topic: &TopicName) -> Option<&TopicLimits> {
        self.rules.iter().find(|rule| rule.pattern.matches(topic)).map(|rule| &rule.limits)
    }

    /// Returns `true` if there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl TopicLimits {
    /// These limits at the time `now`, with ages turned into times.
    fn at(&self, now: Timestamp) -> TrimLimits {
        let before = |age: Option<Duration>| age.map(|age| now.minus(age));
        TrimLimits {
            since: before(self.age),
            events: self.events,
            bytes: self.bytes,
            ended_since: before(self.ended),
        }
    }

    /// Returns `true` if a topic can exceed these limits as time passes, without a new event.
    fn has_age(&self, ended: bool) -> bool {
        self.age.is_some() || ended && self.ended.is_some()
    }
}

/// Two patterns that can match the same topic, neither of which wins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{first:?} and {second:?} can match the same topic and neither is more specific; remove one, or make one \
     more specific"
)]
pub struct RetentionError {
    first: String,
    second: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(patterns: &[&str]) -> Result<Retention, RetentionError> {
        let limits = |n: usize| TopicLimits { events: Some(n as u64), ..TopicLimits::default() };
        let rules = patterns.iter().enumerate();
        Retention::new(rules.map(|(n, pattern)| (pattern.parse().unwrap(), limits(n))))
    }

    /// The pattern whose limits a topic has.
    fn winner<'p>(patterns: &[&'p str], topic: &str) -> Option<&'p str> {
        let retention = rules(patterns).unwrap();
        let limits = retention.limits(&topic.parse().unwrap())?;
        patterns.get(usize::try_from(limits.events.unwrap()).unwrap()).copied()
    }

    #[test]
    fn the_pattern_with_more_literal_segments_wins_whatever_the_order() {
        for patterns in [["**", "a/**", "a/b/*", "a/b/c"], ["a/b/c", "a/b/*", "a/**", "**"]] {
            assert_eq!(winner(&patterns, "a/b/c"), Some("a/b/c"));
            assert_eq!(winner(&patterns, "a/b/d"), Some("a/b/*"));
            assert_eq!(winner(&patterns, "a/x"), Some("a/**"));
            assert_eq!(winner(&patterns, "x"), Some("**"));
        }
    }

    #[test]
    fn with_equal_literal_segments_one_star_wins_over_two() {
        assert_eq!(winner(&["a/**", "a/*"], "a/b"), Some("a/*"));
        assert_eq!(winner(&["a/**", "a/*"], "a/b/c"), Some("a/**"));
    }

    #[test]
    fn a_topic_that_no_pattern_matches_has_no_limits() {
        assert_eq!(winner(&["a/*", "b"], "c"), None);
        assert_eq!(winner(&["**"], "$sys/x"), None, "a wildcard is the first segment");
        assert!(rules(&[]).unwrap().is_empty());
    }

    #[test]
    fn two_patterns_that_could_both_win_are_an_error_that_names_them() {
        for [first, second] in [["a", "a"], ["a/*", "*/b"], ["a/*/c", "a/b/*"], ["**", "**"]] {
            let error = rules(&[first, second]).unwrap_err();
            assert_eq!((error.first.as_str(), error.second.as_str()), (first, second));
            let text = error.to_string();
            assert!(text.contains(first) && text.contains("more specific"), "{text}");
        }
    }

    #[test]
    fn patterns_that_never_match_the_same_topic_are_no_error() {
        for patterns in [["a/*", "b/*"], ["*", "*/*"], ["a/*", "*/b/*"], ["a/**", "b/**"]] {
            assert!(rules(&patterns).is_ok(), "{patterns:?}");
        }
        assert!(rules(&["$SYS/*", "*/a"]).is_ok(), "a wildcard as first segment never matches `$`");
    }
}
