//! Headers of a request, and their values.

use std::str::FromStr;

use http::{HeaderName, HeaderValue};

/// A header of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Parses a header as `Name: value`.
pub(crate) fn header(text: &str) -> Result<Header, String> {
    let (name, value) = text.split_once(':').ok_or(HEADER_ADVICE)?;
    let header = Header { name: name.trim().to_owned(), value: value.trim().to_owned() };
    HeaderName::from_str(&header.name).map_err(|_| HEADER_ADVICE)?;
    HeaderValue::from_str(&header.value)
        .map_err(|_| "the value has a line break or control character")?;
    Ok(header)
}

const HEADER_ADVICE: &str = "expected a header such as 'Authorization: Bearer x'";

/// Parses a value that is sent in a header.
pub(crate) fn header_value(text: &str) -> Result<String, String> {
    match HeaderValue::from_str(text) {
        Ok(value) if !value.is_empty() => Ok(text.to_owned()),
        _ => Err("expected visible characters without line breaks".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_a_name_and_a_value() {
        let header_of =
            |name: &str, value: &str| Header { name: name.to_owned(), value: value.to_owned() };
        assert_eq!(header("A:b"), Ok(header_of("A", "b")));
        assert_eq!(header("A: b: c "), Ok(header_of("A", "b: c")));
        assert_eq!(header("A:"), Ok(header_of("A", "")));
        for text in ["A", ": b", "A b: c", "A: b\nC: d", "ü: x"] {
            assert!(header(text).is_err(), "{text}");
        }
    }
}
