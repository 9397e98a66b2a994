//! Kinds of publish bodies, by `Content-Type`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use crate::problem::{Code, Problem};

/// The kind of a publish body, which decides the events that it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// One event whose data is the body.
    Text,
    /// One event whose data is a `data:` URL of this type.
    Binary {
        /// The type without parameters, such as `image/png`.
        media_type: String,
    },
    /// One event per line, published as the lines arrive.
    Ndjson,
    /// The events of another event stream, published as they arrive.
    EventStream,
}

/// Types outside `text/` whose bodies are text.
const TEXT: [&str; 9] = [
    "application/json",
    "application/xml",
    "application/yaml",
    "application/x-yaml",
    "application/x-www-form-urlencoded",
    "application/javascript",
    "application/graphql",
    "application/toml",
    "application/sql",
];

impl Content {
    /// Returns the kind that the headers of a publish declare.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Content, Problem> {
        if let Some(encoding) = headers.get(CONTENT_ENCODING)
            && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
        {
            return Err(unsupported(
                "compressed bodies are not supported; send the body without Content-Encoding",
            ));
        }
        let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(Content::Text) };
        let value = value.to_str().map_err(|_| {
            unsupported("the Content-Type is not ASCII; correct it or leave it out")
        })?;
        let mut parts = value.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        check_essence(&essence)?;
        let content = Content::of_essence(essence);
        let charset = parts
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
        if let Some((_, charset)) = charset
            && !matches!(content, Content::Binary { .. })
        {
            let charset = charset.trim().trim_matches('"');
            let utf8 =
                ["utf-8", "utf8", "us-ascii"].iter().any(|c| charset.eq_ignore_ascii_case(c));
            if !utf8 {
                return Err(unsupported("text must be UTF-8; convert it and send charset=utf-8"));
            }
        }
        Ok(content)
    }

    /// Returns `true` for the most frequent spellings of a text type. `false` means only that
    /// [`Content::of`] has to decide.
    pub(crate) fn is_text(value: &HeaderValue) -> bool {
        /// The spellings of browsers and of curl.
        const PLAIN: [&str; 3] =
            ["text/plain", "text/plain;charset=UTF-8", "text/plain; charset=utf-8"];
        TEXT.iter().chain(&PLAIN).any(|text| text.as_bytes() == value.as_bytes())
    }

    fn of_essence(essence: String) -> Content {
        let (kind, subtype) = essence.split_once('/').unwrap_or_default();
        match essence.as_str() {
            "" => Content::Text,
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Content::Ndjson,
            "text/event-stream" => Content::EventStream,
            _ if kind == "text" || TEXT.contains(&essence.as_str()) => Content::Text,
            _ if kind != "image" && (subtype.ends_with("+json") || subtype.ends_with("+xml")) => {
                Content::Text
            }
            _ => Content::Binary { media_type: essence },
        }
    }

    /// Returns the data of the single event that a whole body becomes.
    pub(crate) fn data(&self, body: Vec<u8>) -> Result<String, Problem> {
        match self {
            Content::Binary { media_type } => {
                let mut data = format!("data:{media_type};base64,");
                BASE64_STANDARD.encode_string(&body, &mut data);
                Ok(data)
            }
            _ => {
                String::from_utf8(body).map_err(|error| not_utf8(error.utf8_error().valid_up_to()))
            }
        }
    }

    /// Returns the size of the data of the event that a body of `body_bytes` becomes.
    pub(crate) fn data_bytes(&self, body_bytes: usize) -> usize {
        match self {
            Content::Binary { media_type } => {
                "data:;base64,".len() + media_type.len() + body_bytes.div_ceil(3) * 4
            }
            _ => body_bytes,
        }
    }

    /// Returns the size of the largest body whose event has at most `event_bytes_max` bytes of data.
    pub(crate) fn body_bytes_max(&self, event_bytes_max: usize) -> usize {
        match self {
            Content::Binary { .. } => event_bytes_max / 4 * 3,
            _ => event_bytes_max,
        }
    }
}

/// A body that should be UTF-8 text and is not, from byte `at` on.
pub(crate) fn not_utf8(at: usize) -> Problem {
    let detail = format!(
        "the body is not UTF-8 at byte {at}; convert it, or send binary data with its Content-Type, \
         such as application/octet-stream"
    );
    Problem::of(Code::NotUtf8, detail)
}

fn check_essence(essence: &str) -> Result<(), Problem> {
    if essence.starts_with("multipart/") {
        return Err(unsupported(
            "form uploads are not supported; send the file itself as the body",
        ));
    }
    let is_type = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+/".contains(&byte);
    if !essence.bytes().all(is_type) || (!essence.is_empty() && !essence.contains('/')) {
        return Err(unsupported(
            "the Content-Type is not a media type such as text/plain; correct it or leave it out",
        ));
    }
    Ok(())
}

fn unsupported(detail: &str) -> Problem {
    Problem::of(Code::MediaType, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str) -> Result<Content, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        Content::of(&headers).map_err(|problem| problem.into_response().status().as_u16())
    }

    #[test]
    fn text_of_any_kind_is_one_event() {
        assert_eq!(Content::of(&HeaderMap::new()), Ok(Content::Text));
        for text in [
            "text/plain",
            "text/html; charset=utf-8",
            "application/json",
            "application/ld+json",
            "application/atom+xml",
            "application/xml",
            "application/yaml",
            "TEXT/Markdown",
            "application/x-www-form-urlencoded",
            "text/plain; charset=\"UTF-8\"",
            "",
        ] {
            assert_eq!(of(text), Ok(Content::Text), "{text}");
        }
    }

    #[test]
    fn anything_else_is_a_data_url() {
        for binary in ["image/png", "image/svg+xml", "application/pdf", "application/octet-stream"]
        {
            assert_eq!(of(binary), Ok(Content::Binary { media_type: binary.to_owned() }));
        }
        let png = Content::Binary { media_type: "image/png".to_owned() };
        assert_eq!(png.data(vec![1, 2, 3]).unwrap(), "data:image/png;base64,AQID");
        for bytes in 0..10 {
            assert_eq!(png.data(vec![0; bytes]).unwrap().len(), png.data_bytes(bytes));
        }
    }

    #[test]
    fn ndjson_and_event_streams_are_recognised() {
        assert_eq!(of("application/x-ndjson"), Ok(Content::Ndjson));
        assert_eq!(of("text/event-stream; charset=utf-8"), Ok(Content::EventStream));
    }

    #[test]
    fn unsupported_types_and_encodings_are_415() {
        for refused in
            ["multipart/form-data; boundary=x", "text/plain; charset=latin1", "nonsense", "a b/c"]
        {
            assert_eq!(of(refused), Err(415), "{refused}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(Content::of(&headers).is_err());
    }

    #[test]
    fn the_problem_of_text_that_is_not_utf8_names_the_byte() {
        let problem = Content::Text.data(b"ab\xff".to_vec()).unwrap_err();
        assert!(problem.detail().contains("at byte 2"));
    }
}
