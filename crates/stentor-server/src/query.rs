//! The query of a request: only names that the path knows, each read with care.

use percent_encoding::percent_decode_str;

use crate::problem::Problem;

/// A query whose names are all known. Names that begin with `_` are ignored.
#[derive(Debug, Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads a query. An unknown name is an error which names the nearest known one, for a misspelt
    /// option that is silently ignored would be a wrong answer.
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

    /// The value of an option, `None` if it is absent or empty.
    pub(crate) fn value(&self, name: &str) -> Result<Option<&str>, Problem> {
        Ok(self.flag(name)?.filter(|value| !value.is_empty()))
    }

    /// The value of an option that means something without a value too.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.values(name);
        let value = values.next();
        if values.next().is_some() {
            let detail = format!("`{name}` is given twice; give it once");
            return Err(Problem::invalid_query(detail));
        }
        Ok(value)
    }

    /// All values of an option that may be repeated.
    pub(crate) fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, Problem> {
        let Some(text) = self.value(name)? else { return Ok(None) };
        // `parse` would take a sign. A number that is too large for it is too large for all options.
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Some(text.parse().unwrap_or(usize::MAX)));
        }
        let detail = format!("`{name}={text}` is not a whole number; write digits only");
        Err(Problem::invalid_query(detail))
    }

    /// How much a page holds: 1 to `most`.
    pub(crate) fn limit(&self, usual: usize, most: usize) -> Result<usize, Problem> {
        let limit = self.number("limit")?.unwrap_or(usual);
        if (1..=most).contains(&limit) {
            return Ok(limit);
        }
        // A page that is silently another one would be taken for all there is.
        let detail = format!(
            "`limit={limit}` is no size of a page; ask for 1 to {most}, and with `after=` and the \
             page's `next` for more"
        );
        Err(Problem::invalid_query(detail))
    }

    /// One of a few words.
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
        let detail = format!("`{name}={text}` is not known; write {}", words.join(" or "));
        Err(Problem::invalid_query(detail))
    }
}

fn decode(text: &str) -> Result<String, Problem> {
    let text = text.replace('+', " ");
    if let Ok(text) = percent_decode_str(&text).decode_utf8() {
        return Ok(text.into_owned());
    }
    let detail = format!("`{text}` in the query is not UTF-8 once decoded; encode it as UTF-8");
    Err(Problem::invalid_query(detail))
}

fn unknown(name: &str, known: &[&'static str]) -> Problem {
    /// How alike two names must be for one to be taken for the other misspelt.
    const ALIKE: f64 = 0.7;
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let advice = match nearest {
        Some((likeness, candidate)) if likeness >= ALIKE => format!("did you mean `{candidate}`?"),
        _ if known.is_empty() => "this path takes none".to_owned(),
        _ => format!("this path knows `{}`", known.join("`, `")),
    };
    Problem::invalid_query(format!("the query name `{name}` is not known; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_told_the_nearest_known_one() {
        let problem = Query::parse(Some("form=earliest"), &["from", "last"]).unwrap_err();
        assert_eq!(problem.detail(), "the query name `form` is not known; did you mean `from`?");
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
    fn what_is_not_utf8_or_given_twice_or_no_number_is_refused() {
        assert!(Query::parse(Some("topic=%ff"), &["topic"]).is_err());
        let query =
            Query::parse(Some("last=1&last=2&limit=+5&n=-1"), &["last", "limit", "n"]).unwrap();
        assert!(query.number("last").is_err());
        assert!(query.number("limit").is_err());
        assert!(query.number("n").is_err());
    }

    #[test]
    fn an_empty_value_counts_as_absent() {
        let query = Query::parse(Some("last=&end"), &["last", "end"]).unwrap();
        assert_eq!(query.number("last").unwrap(), None);
        assert_eq!(query.flag("end").unwrap(), Some(""));
    }
}
