//! What `--retain` and `--retain-bytes` say.

use std::str::FromStr;

use anyhow::{Context, bail};
use bytesize::ByteSize;
use stentor_hub::{Retention, TopicFilter, TopicLimits};

use crate::duration;

/// How much of the log is kept.
#[derive(Debug, clap::Args)]
pub(crate) struct RetainArgs {
    /// Keep no more than this of each topic that a pattern matches, such as
    /// `'chat/*=age:7d,count:1000,bytes:1GiB,ended:1h'`. Any of the four: no event older than `age`, so
    /// many events, so many bytes, nothing of a topic that ended `ended` ago. The more precise
    /// pattern wins. Repeatable.
    #[arg(long, value_name = "PATTERN=LIMITS", value_parser = rule)]
    retain: Vec<Rule>,

    /// Let the oldest events of all go when the log takes more than this, such as `500MB`; `none` for
    /// no limit. Unless told otherwise 1 GiB on disk, 64 MiB in memory.
    #[arg(long, value_name = "SIZE", env = "STENTOR_RETAIN_BYTES")]
    pub(crate) retain_bytes: Option<Size>,
}

impl RetainArgs {
    /// The policy for single topics.
    pub(crate) fn retention(&self) -> anyhow::Result<Retention> {
        let rules = self.retain.iter().map(|rule| (rule.pattern.clone(), rule.limits));
        Ok(Retention::new(rules)?)
    }
}

/// The limits of one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: TopicFilter,
    limits: TopicLimits,
}

/// Reads a rule; an error says all of it, the advice too.
fn rule(text: &str) -> Result<Rule, String> {
    text.parse().map_err(|error: anyhow::Error| format!("{error:#}"))
}

impl FromStr for Rule {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Rule> {
        // A name may have a `=` too, the limits have none.
        let Some((pattern, list)) = text.rsplit_once('=') else {
            bail!("write it as PATTERN=LIMITS, such as 'chat/*=age:7d,count:1000'");
        };
        let pattern = pattern.parse().with_context(|| format!("{pattern:?} is no pattern"))?;
        let mut limits = TopicLimits::default();
        for limit in list.split(',') {
            set(&mut limits, limit).with_context(|| format!("{limit:?} is no limit"))?;
        }
        Ok(Rule { pattern, limits })
    }
}

fn set(limits: &mut TopicLimits, limit: &str) -> anyhow::Result<()> {
    let known = "write age:7d, count:1000, bytes:1GiB or ended:1h";
    let (name, value) = limit.trim().split_once(':').context(known)?;
    match name {
        "age" => once(&mut limits.age, duration::parse(value)?),
        "count" => once(&mut limits.events, value.parse().context("count is a whole number")?),
        "bytes" => once(&mut limits.bytes, bytes(value)?),
        "ended" => once(&mut limits.ended, duration::parse(value)?),
        _ => bail!("{known}"),
    }
}

fn once<T>(limit: &mut Option<T>, value: T) -> anyhow::Result<()> {
    match limit.replace(value) {
        Some(_) => bail!("it is there twice; keep one"),
        None => Ok(()),
    }
}

fn bytes(text: &str) -> anyhow::Result<u64> {
    let size: Result<ByteSize, String> = text.parse();
    match size {
        Ok(size) => Ok(size.as_u64()),
        Err(_) => bail!("{text:?} is no size; write it as 500MB or 1GiB"),
    }
}

/// How large the log may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) Option<u64>);

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Size> {
        if text == "none" {
            return Ok(Size(None));
        }
        match bytes(text)? {
            0 => bail!("0 would keep nothing; write `none` for no limit"),
            bytes => Ok(Size(Some(bytes))),
        }
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use std::time::Duration;

    use super::*;

    fn refusal(text: &str) -> String {
        format!("{:#}", text.parse::<Rule>().unwrap_err())
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
    fn what_is_no_limit_is_refused_with_advice() {
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
            ("a/**/b=count:1", "no pattern"),
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
        assert!("0".parse::<Size>().unwrap_err().to_string().contains("`none`"));
    }
}
