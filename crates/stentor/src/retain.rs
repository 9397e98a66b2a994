//! The options `--retain` and `--retain-bytes`.

use std::fmt;
use std::str::FromStr;

use bytesize::ByteSize;
use stentor_hub::{Retention, RetentionError, TopicFilter, TopicLimits};

use crate::duration;

/// Limits of the log.
#[derive(Debug, clap::Args)]
pub(crate) struct RetainArgs {
    /// Limits for the topics that match a pattern, such as
    /// `'chat/*=age:7d,count:1000,bytes:1GiB,ended:1h'`: maximum age, number of events, bytes, and how
    /// long to keep a topic after its end. Give one or more. The most specific pattern wins. Repeatable.
    #[arg(long, value_name = "PATTERN=LIMITS")]
    retain: Vec<Rule>,

    /// Maximum size of the whole log, such as `500MB`, or `none`; the oldest events are deleted first
    /// [default: 1GiB on disk, 64MiB in memory].
    #[arg(long, value_name = "SIZE", env = "STENTOR_RETAIN_BYTES")]
    pub(crate) retain_bytes: Option<Size>,
}

impl RetainArgs {
    /// Returns the limits for single topics.
    ///
    /// # Errors
    /// Two patterns are equally specific and match the same topics.
    pub(crate) fn retention(&self) -> Result<Retention, RetentionError> {
        Retention::new(self.retain.iter().map(|rule| (rule.pattern.clone(), rule.limits)))
    }
}

/// The limits of one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: TopicFilter,
    limits: TopicLimits,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Rule, String> {
        // The limits contain no `=`, but the name of a topic can.
        let Some((pattern, list)) = text.rsplit_once('=') else {
            return Err("expected PATTERN=LIMITS, such as 'chat/*=age:7d,count:1000'".to_owned());
        };
        let bad_pattern = |error| format!("{pattern:?} is not a valid pattern: {error}");
        let pattern = pattern.parse().map_err(bad_pattern)?;
        let mut limits = TopicLimits::default();
        for limit in list.split(',') {
            set(&mut limits, limit)
                .map_err(|error| format!("{limit:?} is not a valid limit: {error}"))?;
        }
        Ok(Rule { pattern, limits })
    }
}

fn set(limits: &mut TopicLimits, limit: &str) -> Result<(), String> {
    let known = "expected age:7d, count:1000, bytes:1GiB or ended:1h";
    let (name, value) = limit.trim().split_once(':').ok_or(known)?;
    match name {
        "age" => set_once(&mut limits.age, duration::parse(value)?),
        "count" => {
            let count = value.parse().map_err(|_| "expected a whole number, such as count:1000")?;
            set_once(&mut limits.events, count)
        }
        "bytes" => set_once(&mut limits.bytes, bytes(value)?),
        "ended" => set_once(&mut limits.ended, duration::parse(value)?),
        _ => Err(known.to_owned()),
    }
}

fn set_once<T>(limit: &mut Option<T>, value: T) -> Result<(), String> {
    match limit.replace(value) {
        Some(_) => Err("it is given twice; keep one".to_owned()),
        None => Ok(()),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    let size: Result<ByteSize, String> = text.parse();
    size.map(|size| size.as_u64()).map_err(|_| "expected a size such as 500MB or 1GiB".to_owned())
}

/// Maximum size of the log in bytes; `None` means no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) Option<u64>);

impl Size {
    /// Describes the limit for the start of a server.
    pub(crate) fn describe(self) -> String {
        match self.0 {
            Some(_) => format!("limit {self}"),
            None => "no limit".to_owned(),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        if text == "none" {
            return Ok(Size(None));
        }
        match bytes(text)? {
            0 => Err("a log of size 0 keeps nothing; use `none` for no limit".to_owned()),
            bytes => Ok(Size(Some(bytes))),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => {
                let text = format!("{:.1}", ByteSize(bytes).display().iec());
                f.write_str(&text.replace(".0 ", " "))
            }
            None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic fails the test")]

    use std::time::Duration;

    use super::*;

    fn refusal(text: &str) -> String {
        text.parse::<Rule>().unwrap_err()
    }

    #[test]
    fn all_four_limits_are_read() {
        let rule: Rule = "chat/*=age:7d,count:1000,bytes:1GiB,ended:90m".parse().unwrap();
        assert_eq!(rule.pattern, "chat/*".parse().unwrap());
        let expected = TopicLimits {
            age: Some(Duration::from_hours(7 * 24)),
            events: Some(1_000),
            bytes: Some(1 << 30),
            ended: Some(Duration::from_mins(90)),
        };
        assert_eq!(rule.limits, expected);
    }

    #[test]
    fn an_invalid_limit_is_refused_with_advice() {
        for (text, advice) in [
            ("chat", "PATTERN=LIMITS"),
            ("chat=", "age:7d"),
            ("chat=age", "age:7d"),
            ("chat=size:3", "age:7d"),
            ("chat=age:soon", "45s"),
            ("chat=age:-1h", "45s"),
            ("chat=count:many", "whole number"),
            ("chat=count:-1", "whole number"),
            ("chat=bytes:big", "1GiB"),
            ("chat=count:1,count:2", "twice"),
            ("a/**/b=count:1", "not a valid pattern"),
        ] {
            let refusal = refusal(text);
            assert!(refusal.contains(advice), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_name_with_an_equals_sign_is_a_pattern_too() {
        let rule: Rule = "user=7/x=count:1".parse().unwrap();
        assert_eq!(rule.pattern, "user=7/x".parse().unwrap());
    }

    #[test]
    fn the_size_of_the_log_is_a_size_or_none() {
        assert_eq!("1GiB".parse::<Size>().unwrap(), Size(Some(1 << 30)));
        assert_eq!(Size(Some(1 << 30)).to_string(), "1 GiB");
        assert_eq!("none".parse::<Size>().unwrap(), Size(None));
        assert_eq!("1.5MB".parse::<Size>().unwrap().to_string(), "1.4 MiB");
        assert_eq!(Size(Some(500)).to_string(), "500 B");
        assert!("lots".parse::<Size>().is_err());
        assert!("0".parse::<Size>().unwrap_err().contains("`none`"));
    }
}
