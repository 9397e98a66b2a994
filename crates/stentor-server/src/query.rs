//! The query string of a request. Unknown names are errors.

use percent_encoding::percent_decode_str;

use crate::problem::{Code, Problem};

/// A decoded query with known names only. Names that begin with `_` are ignored.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Parses a query. An unknown name is an error that suggests the nearest known one: ignoring a
    /// misspelt option would return the wrong events.
    pub(crate) fn parse(raw: Option<&str>, known: &[&'static str]) -> Result<Query, Problem> {
        let mut pairs = Vec::new();
        for pair in raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name)?;
            if name.starts_with('_') {
                continue;
            }
            if !known.contains(&name.as_str()) {
                return Err(unknown(&name, known));
            }
            pairs.push((name, decode(value)?));
        }
        Ok(Query { pairs })
    }

    /// Returns the value of an option, `None` if it is absent or empty.
    pub(crate) fn value(&self, name: &str) -> Result<Option<&str>, Problem> {
        Ok(self.flag(name)?.filter(|value| !value.is_empty()))
    }

    /// Returns the value of an option whose value may be omitted; it is then empty.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.values(name);
        let value = values.next();
        if values.next().is_some() {
            return Err(Problem::of(
                Code::Query,
                format!("`{name}` appears twice in the query; send it once"),
            ));
        }
        Ok(value)
    }

    /// Returns all values of an option that may be repeated.
    pub(crate) fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the last value of an option that has several names, `None` if all are absent or empty.
    pub(crate) fn last_value<'a>(&'a self, names: &[&str]) -> Option<&'a str> {
        let pairs = self.pairs.iter().rev();
        let mut given = pairs.filter(|(name, value)| names.contains(&&**name) && !value.is_empty());
        given.next().map(|(_, value)| value.as_str())
    }

    /// Returns the value of a numeric option. A number too large for `usize` becomes `usize::MAX`,
    /// which is above the limit of every option.
    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, Problem> {
        let Some(text) = self.value(name)? else { return Ok(None) };
        // `parse` alone would also accept a leading `+`.
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Some(text.parse().unwrap_or(usize::MAX)));
        }
        let advice = match name {
            "lease" => "write seconds without a unit, such as `lease=30`",
            "retry" => "write milliseconds without a unit, such as `retry=3000`",
            _ => "write digits only",
        };
        let detail = format!("`{name}={text}` is not a whole number; {advice}");
        Err(Problem::of(Code::Query, detail))
    }

    /// Returns the page size: `limit=` from 1 to `max`, or `default`.
    pub(crate) fn limit(&self, default: usize, max: usize) -> Result<usize, Problem> {
        let limit = self.number("limit")?.unwrap_or(default);
        if (1..=max).contains(&limit) {
            return Ok(limit);
        }
        // An error rather than a smaller page: the client would take that page for the whole result. It
        // repeats the text, because the number may be too large for `usize`.
        let text = self.value("limit")?.unwrap_or_default();
        let detail = format!(
            "`limit={text}` is out of range; use 1 to {max}, and pass the `next` of a page as \
             `after=` to get the following one"
        );
        Err(Problem::of(Code::Query, detail))
    }

    /// Returns the meaning of an option whose value is one of a few words.
    pub(crate) fn word<T: Copy>(
        &self,
        name: &str,
        words: &[(&'static str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.value(name)? else { return Ok(None) };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(Some(*meaning));
        }
        let words: Vec<_> = words.iter().map(|(word, _)| format!("`{name}={word}`")).collect();
        let detail = format!("`{name}={text}` is not known; use {}", words.join(" or "));
        Err(Problem::of(Code::Query, detail))
    }
}

fn decode(text: &str) -> Result<String, Problem> {
    let text = text.replace('+', " ");
    if let Ok(text) = percent_decode_str(&text).decode_utf8() {
        return Ok(text.into_owned());
    }
    let detail =
        format!("`{text}` in the query does not decode to UTF-8; percent-encode UTF-8 bytes");
    Err(Problem::of(Code::Query, detail))
}

fn unknown(name: &str, known: &[&'static str]) -> Problem {
    /// Similarity from which on a known name is suggested.
    const SIMILARITY_MIN: f64 = 0.7;
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let advice = match nearest {
        Some((similarity, candidate)) if similarity >= SIMILARITY_MIN => {
            format!("did you mean `{candidate}`?")
        }
        _ if known.is_empty() => "this request takes no query parameters".to_owned(),
        _ => format!("use `{}`", known.join("`, `")),
    };
    Problem::of(Code::Query, format!("the query parameter `{name}` is not known; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_name_is_suggested_for_a_misspelt_one() {
        let problem = Query::parse(Some("form=earliest"), &["from", "last"]).unwrap_err();
        assert_eq!(
            problem.detail(),
            "the query parameter `form` is not known; did you mean `from`?"
        );
    }

    #[test]
    fn names_that_begin_with_an_underscore_are_ignored() {
        let query = Query::parse(Some("_=123&_cache=x&last=5"), &["last"]).unwrap();
        assert_eq!(query.number("last").unwrap(), Some(5));
    }

    #[test]
    fn values_are_decoded_once_and_a_plus_is_a_space() {
        let query = Query::parse(Some("topic=a+b%2Fc%252F&topic=%E2%82%AC"), &["topic"]).unwrap();
        assert_eq!(query.values("topic").collect::<Vec<_>>(), ["a b/c%2F", "€"]);
    }

    #[test]
    fn values_that_are_not_utf8_or_repeated_or_not_a_number_are_refused() {
        assert!(Query::parse(Some("topic=%ff"), &["topic"]).is_err());
        let query =
            Query::parse(Some("last=1&last=2&limit=+5&n=-1"), &["last", "limit", "n"]).unwrap();
        assert!(query.number("last").is_err());
        assert!(query.number("limit").is_err());
        assert!(query.number("n").is_err());
    }

    #[test]
    fn a_limit_that_is_out_of_range_is_repeated_as_it_was_sent() {
        let query = Query::parse(Some("limit=10000000000000000000000"), &["limit"]).unwrap();
        let problem = query.limit(100, 1_000).unwrap_err();
        assert!(problem.detail().starts_with("`limit=10000000000000000000000` is out"));
    }

    #[test]
    fn a_time_with_a_unit_is_refused_with_the_unit_to_use() {
        let query = Query::parse(Some("lease=30s&retry=3s"), &["lease", "retry"]).unwrap();
        for (name, unit) in [("lease", "write seconds"), ("retry", "write milliseconds")] {
            let problem = query.number(name).unwrap_err();
            assert!(problem.detail().contains(unit), "{}", problem.detail());
        }
    }

    #[test]
    fn an_empty_value_counts_as_absent() {
        let query = Query::parse(Some("last=&end"), &["last", "end"]).unwrap();
        assert_eq!(query.number("last").unwrap(), None);
        assert_eq!(query.flag("end").unwrap(), Some(""));
    }

    #[test]
    fn the_last_value_of_several_names_counts() {
        let names = ["a", "b"];
        let last = |raw| {
            let query = Query::parse(Some(raw), &names).unwrap();
            query.last_value(&names).map(str::to_owned)
        };
        assert_eq!(last("a=1&b=2"), Some("2".to_owned()));
        assert_eq!(last("b=2&a=1"), Some("1".to_owned()));
        assert_eq!(last("a=1&a=2&b="), Some("2".to_owned()), "an empty value counts as absent");
        assert_eq!(last(""), None);
    }
}
