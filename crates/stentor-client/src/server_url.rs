//! The addresses of a Stentor server.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::Url;
use thiserror::Error;

/// Where a Stentor server is, and so where its topics are.
///
/// ```
/// use stentor_client::ServerUrl;
///
/// let server = ServerUrl::new("http://localhost:8080")?;
/// assert_eq!(server.topic("news/today")?.as_str(), "http://localhost:8080/topics/news/today");
/// assert_eq!(
///     server.events(["news/*", "weather"]).as_str(),
///     "http://localhost:8080/events?topic=news%2F*&topic=weather",
/// );
/// # Ok::<(), stentor_client::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl(Url);

/// Why a text is no address, or a topic has none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// The text cannot be read as a URL.
    #[error("{url:?} is no address ({cause}); write one such as http://localhost:8080")]
    Invalid {
        /// The text.
        url: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A URL, but not of the web.
    #[error("{url:?} is no http or https address; write one such as http://localhost:8080")]
    Scheme {
        /// The text.
        url: String,
    },
    /// No topic has an empty name.
    #[error("a topic must not be empty; name one, such as `news`")]
    EmptyTopic,
    /// `.` and `..` have a meaning of their own in a path, however they are written.
    #[error("the topic {topic:?} cannot stand in a path; name it otherwise")]
    DotTopic {
        /// The topic.
        topic: String,
    },
}

/// What cannot stand in a segment of a path as it is.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

impl ServerUrl {
    /// The server at this address, which may have a path of its own (behind a proxy, say).
    pub fn new(url: &str) -> Result<ServerUrl, UrlError> {
        let mut url = parse(url)?;
        url.set_query(None);
        url.set_fragment(None);
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(ServerUrl(url))
    }

    /// The address of one topic by its exact name, to publish to and to read.
    ///
    /// A slash of the name is a slash of the path, unless a segment is empty, `.` or `..`, which
    /// programs on the way would rewrite: then all slashes are encoded.
    pub fn topic(&self, name: &str) -> Result<Url, UrlError> {
        match name {
            "" => return Err(UrlError::EmptyTopic),
            "." | ".." => return Err(UrlError::DotTopic { topic: name.to_owned() }),
            _ => {}
        }
        let encode = |segment: &str| utf8_percent_encode(segment, SEGMENT).to_string();
        let is_fragile = name.split('/').any(|segment| matches!(segment, "" | "." | ".."));
        let path = if is_fragile {
            encode(name)
        } else {
            name.split('/').map(encode).collect::<Vec<_>>().join("/")
        };
        Ok(self.at(&format!("/topics/{path}")))
    }

    /// The address of one stream for all these filters: exact names, or with segments `*` and `**`.
    pub fn events<'a>(&self, filters: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.at("/events");
        url.query_pairs_mut().extend_pairs(filters.into_iter().map(|filter| ("topic", filter)));
        url
    }

    /// The address of all topics, to publish a batch to.
    pub(crate) fn topics(&self) -> Url {
        self.at("/topics")
    }

    /// The address of the server itself.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        let path = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<ServerUrl, UrlError> {
        ServerUrl::new(url)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An address of the web.
pub(crate) fn parse(url: &str) -> Result<Url, UrlError> {
    match Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => Ok(parsed),
        Ok(_) => Err(UrlError::Scheme { url: url.to_owned() }),
        Err(error) => Err(UrlError::Invalid { url: url.to_owned(), cause: error.to_string() }),
    }
}

/// An address as others may see it: without user and password.
pub(crate) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // An address that cannot have them has none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(topic: &str) -> String {
        ServerUrl::new("http://h").unwrap().topic(topic).unwrap().path().to_owned()
    }

    #[test]
    fn slashes_of_a_name_are_slashes_of_the_path() {
        assert_eq!(path("a/b"), "/topics/a/b");
        assert_eq!(path("a b/ü?#%\\"), "/topics/a%20b/%C3%BC%3F%23%25%5C");
        assert_eq!(path("a+b:c"), "/topics/a+b:c");
    }

    #[test]
    fn slashes_that_others_would_rewrite_are_encoded() {
        assert_eq!(path("https://x/y"), "/topics/https:%2F%2Fx%2Fy");
        assert_eq!(path("/a"), "/topics/%2Fa");
        assert_eq!(path("a/"), "/topics/a%2F");
        assert_eq!(path("a/../b"), "/topics/a%2F..%2Fb");
        assert_eq!(path("a/./b"), "/topics/a%2F.%2Fb");
        assert_eq!(path("a/%2e%2e/b"), "/topics/a/%252e%252e/b");
    }

    #[test]
    fn names_that_no_path_can_hold_are_told() {
        let server = ServerUrl::new("http://h").unwrap();
        assert_eq!(server.topic(""), Err(UrlError::EmptyTopic));
        assert!(matches!(server.topic(".."), Err(UrlError::DotTopic { .. })));
    }

    #[test]
    fn a_server_may_live_below_a_path() {
        for base in ["http://h/live", "http://h/live/", "http://h/live/?x#y"] {
            let server = ServerUrl::new(base).unwrap();
            assert_eq!(server.topic("t").unwrap().as_str(), "http://h/live/topics/t", "{base}");
            assert_eq!(server.events(["t"]).as_str(), "http://h/live/events?topic=t", "{base}");
        }
    }

    #[test]
    fn other_schemes_and_nonsense_are_refused() {
        assert!(matches!(ServerUrl::new("ftp://h"), Err(UrlError::Scheme { .. })));
        assert!(matches!(ServerUrl::new("localhost:8080"), Err(UrlError::Scheme { .. })));
        assert!(matches!(ServerUrl::new("news"), Err(UrlError::Invalid { .. })));
    }
}
