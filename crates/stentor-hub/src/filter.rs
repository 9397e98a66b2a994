//! Topic filters: exact names and patterns.

use std::fmt;
use std::str::FromStr;

use crate::topic::{TopicError, TopicName, check_text};

/// A topic filter: an exact name, or a pattern.
///
/// In a pattern, the segment `*` matches one segment, and `**` as the last segment matches one or more. A pattern that
/// begins with a wildcard does not match names that begin with `$`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicFilter {
    /// The topic of this name.
    Exact(TopicName),
    /// All topics that the pattern matches.
    Pattern(Pattern),
}

/// A pattern with at least one wildcard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: Box<str>,
}

impl TopicFilter {
    /// Returns `true` if the filter matches this topic.
    pub fn matches(&self, topic: &TopicName) -> bool {
        match self {
            TopicFilter::Exact(name) => name == topic,
            TopicFilter::Pattern(pattern) => pattern.matches(topic.as_str()),
        }
    }

    /// The pattern, if it is one.
    fn pattern(&self) -> Option<&Pattern> {
        match self {
            TopicFilter::Exact(_) => None,
            TopicFilter::Pattern(pattern) => Some(pattern),
        }
    }

    /// The filter as it was written.
    pub fn as_str(&self) -> &str {
        match self {
            TopicFilter::Exact(name) => name.as_str(),
            TopicFilter::Pattern(pattern) => &pattern.text,
        }
    }
}

impl Pattern {
    fn matches(&self, name: &str) -> bool {
        if self.text.starts_with('*') && name.starts_with('$') {
            return false;
        }
        let mut names = name.split('/');
        for segment in self.text.split('/') {
            match (segment, names.next()) {
                ("**", Some(_)) => return true,
                ("*", Some(_)) => {}
                (literal, Some(name)) if literal == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }

    /// Returns `true` if the pattern matches a name that begins with this text, which may end within a segment.
    fn may_match_beginning(&self, beginning: &str) -> bool {
        if self.text.starts_with('*') && beginning.starts_with('$') {
            return false;
        }
        let mut segments = self.text.split('/');
        let mut parts = beginning.split('/').peekable();
        while let Some(part) = parts.next() {
            let is_last = parts.peek().is_none();
            match segments.next() {
                Some("**") => return true,
                Some("*") => {}
                Some(literal) if is_last => return literal.starts_with(part),
                Some(literal) if literal == part => {}
                _ => return false,
            }
        }
        true
    }

    /// The text before the first wildcard segment. Each matching name begins with it.
    pub fn literal_prefix(&self) -> &str {
        let mut end = 0;
        for segment in self.text.split('/') {
            if matches!(segment, "*" | "**") {
                break;
            }
            end += segment.len() + 1;
        }
        self.text.get(..end).unwrap_or_default()
    }
}

impl FromStr for TopicFilter {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<TopicFilter, TopicError> {
        check_text(text)?;
        let mut pattern = false;
        let mut rest = false;
        for segment in text.split('/') {
            if rest {
                return Err(TopicError::RestNotLast);
            }
            rest = segment == "**";
            if rest || segment == "*" {
                pattern = true;
            } else if segment.contains('*') {
                return Err(TopicError::PartialWildcard { segment: segment.to_owned() });
            }
        }
        if pattern {
            Ok(TopicFilter::Pattern(Pattern { text: text.into() }))
        } else {
            TopicName::new(text).map(TopicFilter::Exact)
        }
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The filters of a subscription: 1 to 64, each once. An event that several of them match is sent once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filters {
    exact: Vec<TopicName>,
    patterns: Vec<TopicFilter>,
}

impl Filters {
    /// Maximum number of filters of a subscription.
    pub const MAX: usize = 64;

    /// Creates the filters of a subscription. Repeated ones count once, and their order is ignored.
    pub fn new(filters: impl IntoIterator<Item = TopicFilter>) -> Result<Filters, FiltersError> {
        let mut all = Filters { exact: Vec::new(), patterns: Vec::new() };
        for filter in filters {
            match filter {
                TopicFilter::Exact(name) if all.exact.contains(&name) => {}
                TopicFilter::Exact(name) => all.exact.push(name),
                TopicFilter::Pattern(_) if all.patterns.contains(&filter) => {}
                TopicFilter::Pattern(_) => all.patterns.push(filter),
            }
            if all.len() > Self::MAX {
                return Err(FiltersError::TooMany);
            }
        }
        // Sorted, so that equal sets are equal and have equal hashes: their readers share one group.
        all.exact.sort_unstable();
        all.patterns.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        if all.len() == 0 { Err(FiltersError::None) } else { Ok(all) }
    }

    /// The filters with one exact topic.
    pub fn topic(name: TopicName) -> Filters {
        Filters { exact: vec![name], patterns: Vec::new() }
    }

    /// Returns `true` if a filter matches this topic.
    pub fn matches(&self, topic: &TopicName) -> bool {
        self.exact.contains(topic) || self.patterns.iter().any(|pattern| pattern.matches(topic))
    }

    /// Returns `true` if a pattern, and no exact name, matches this topic.
    pub(crate) fn matches_by_pattern(&self, topic: &TopicName) -> bool {
        !self.exact.contains(topic) && self.patterns.iter().any(|pattern| pattern.matches(topic))
    }

    /// The literal prefixes of the patterns, without those that begin with another one. Each name that a pattern
    /// matches begins with exactly one of them.
    pub(crate) fn literal_prefixes(&self) -> Vec<&str> {
        let patterns = self.patterns.iter().filter_map(TopicFilter::pattern);
        let mut prefixes: Vec<&str> = patterns.map(Pattern::literal_prefix).collect();
        prefixes.sort_unstable();
        // A prefix sorts before everything that begins with it.
        prefixes.dedup_by(|later, earlier| later.starts_with(&**earlier));
        prefixes
    }

    /// Returns `true` if a pattern may match a name that begins with this text.
    pub(crate) fn patterns_may_match_beginning(&self, beginning: &str) -> bool {
        let mut patterns = self.patterns.iter().filter_map(TopicFilter::pattern);
        patterns.any(|pattern| pattern.may_match_beginning(beginning))
    }

    /// The exact names among the filters.
    pub fn exact(&self) -> &[TopicName] {
        &self.exact
    }

    /// The patterns among the filters.
    pub fn patterns(&self) -> &[TopicFilter] {
        &self.patterns
    }

    /// All filters in byte order, exact names first.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let exact = self.exact.iter().map(TopicName::as_str);
        exact.chain(self.patterns.iter().map(TopicFilter::as_str))
    }

    fn len(&self) -> usize {
        self.exact.len() + self.patterns.len()
    }
}

/// The reason why filters are not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FiltersError {
    /// There are no filters.
    #[error("no topic is given; name at least one")]
    None,
    /// More than [`Filters::MAX`].
    #[error(
        "more than {} topics are given; use a pattern such as `news/*`, or several streams",
        Filters::MAX
    )]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, name: &str) -> bool {
        filter.parse::<TopicFilter>().unwrap().matches(&name.parse().unwrap())
    }

    #[test]
    fn one_star_stands_for_one_segment() {
        assert!(matches("news/*", "news/today"));
        assert!(matches("*/b/*", "a/b/c"));
        assert!(matches("news/*", "news/"));
        assert!(!matches("news/*", "news"));
        assert!(!matches("news/*", "news/a/b"));
        assert!(!matches("*", "a/b"));
    }

    #[test]
    fn two_stars_stand_for_one_or_more_last_segments() {
        assert!(matches("news/**", "news/a"));
        assert!(matches("news/**", "news/a/b/c"));
        assert!(matches("**", "anything/at/all"));
        assert!(!matches("news/**", "news"));
        assert_eq!("a/**/b".parse::<TopicFilter>(), Err(TopicError::RestNotLast));
    }

    #[test]
    fn no_pattern_with_a_leading_wildcard_matches_a_reserved_name() {
        assert!(!matches("*", "$sys"));
        assert!(!matches("**", "$sys/a"));
        assert!(matches("$sys/*", "$sys/a"));
        assert!(matches("$sys", "$sys"));
    }

    #[test]
    fn a_star_inside_a_segment_is_refused() {
        for (filter, segment) in
            [("news*", "news*"), ("a*b/c", "a*b"), ("*/x*", "x*"), ("a/***", "***")]
        {
            let error = TopicError::PartialWildcard { segment: segment.to_owned() };
            assert_eq!(filter.parse::<TopicFilter>(), Err(error), "{filter}");
        }
        assert!(TopicName::new("a*b").is_ok(), "names may contain it");
    }

    #[test]
    fn filters_in_another_order_are_equal() {
        use std::hash::BuildHasher;

        let filters = |texts: &[&str]| {
            Filters::new(texts.iter().map(|text| text.parse::<TopicFilter>().unwrap())).unwrap()
        };
        let (one, other) =
            (filters(&["b", "a", "x/*", "c/**"]), filters(&["c/**", "x/*", "a", "b", "a"]));
        assert_eq!(one, other);
        let hasher = std::hash::RandomState::new();
        assert_eq!(hasher.hash_one(&one), hasher.hash_one(&other));
        assert_eq!(one.iter().collect::<Vec<_>>(), ["a", "b", "c/**", "x/*"]);
    }

    #[test]
    fn the_literal_prefix_ends_before_the_first_wildcard() {
        for (filter, prefix) in [("a/b/*", "a/b/"), ("*", ""), ("a/*/b", "a/"), ("x/**", "x/")] {
            let Ok(TopicFilter::Pattern(pattern)) = filter.parse() else { panic!("{filter}") };
            assert_eq!(pattern.literal_prefix(), prefix);
        }
    }

    #[test]
    fn a_pattern_may_match_the_beginnings_of_the_names_that_it_matches() {
        let may = |filter: &str, beginning: &str| {
            let filters = Filters::new([filter.parse::<TopicFilter>().unwrap()]).unwrap();
            filters.patterns_may_match_beginning(beginning)
        };
        for (filter, name) in [("a/*", "a/bc"), ("*/b/*", "aé/b/c"), ("a/b/**", "a/b/c/d")] {
            for end in (0..=name.len()).filter(|end| name.is_char_boundary(*end)) {
                assert!(may(filter, &name[..end]), "{filter} {}", &name[..end]);
            }
        }
        for (filter, beginning) in [
            ("a/*", "b"),
            ("a/*", "ab"),
            ("a/*", "a/b/"),
            ("*/b", "x/c"),
            ("**", "$s"),
            ("*", "a/"),
        ] {
            assert!(!may(filter, beginning), "{filter} {beginning}");
        }
    }

    #[test]
    fn literal_prefixes_leave_out_those_that_begin_with_another_one() {
        let filters = |texts: &[&str]| {
            Filters::new(texts.iter().map(|text| text.parse::<TopicFilter>().unwrap())).unwrap()
        };
        assert_eq!(filters(&["a/b/*", "a/**", "c/*", "a/*"]).literal_prefixes(), ["a/", "c/"]);
        assert_eq!(filters(&["a/*", "*/b", "x"]).literal_prefixes(), [""]);
        assert_eq!(filters(&["x"]).literal_prefixes(), [""; 0]);
    }

    #[test]
    fn a_subscription_has_1_to_64_filters() {
        let names = |n: usize| (0..n).map(|i| format!("t{i}").parse().unwrap());
        assert_eq!(Filters::new([]), Err(FiltersError::None));
        assert!(Filters::new(names(64)).is_ok());
        assert_eq!(Filters::new(names(65)), Err(FiltersError::TooMany));
        assert!(Filters::new(names(64).chain(names(64))).is_ok(), "repeated ones count once");
    }
}
