//! URLs of a Stentor server and its topics.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::Url;
use thiserror::Error;

/// URL of a Stentor server. Builds the URLs of its topics and streams.
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

/// Error: a text is not a valid URL, or a topic name cannot be part of one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// The text is not a URL.
    #[error("{url:?} is not a valid URL ({cause}); use one such as http://localhost:8080")]
    Invalid {
        /// The text.
        url: String,
        /// The reason.
        cause: String,
    },
    /// The scheme of the URL is not `http` or `https`.
    #[error("{url:?} is not an http or https URL; use one such as http://localhost:8080")]
    Scheme {
        /// The text.
        url: String,
    },
    /// The topic name is empty.
    #[error("the topic name is empty; use a name such as `news`")]
    EmptyTopic,
    /// The topic is `.` or `..`. Both have a special meaning in a path, even percent-encoded.
    #[error("the topic {topic:?} cannot be used in a URL; choose another name")]
    DotTopic {
        /// The topic name.
        topic: String,
    },
}

/// Characters that are percent-encoded in a path segment.
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
    /// Creates a server URL. The URL may include a path, for a server behind a proxy.
    ///
    /// # Errors
    ///
    /// [`UrlError`] if the text is not an http or https URL.
    pub fn new(url: &str) -> Result<ServerUrl, UrlError> {
        let mut url = parse(url)?;
        url.set_query(None);
        url.set_fragment(None);
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(ServerUrl(url))
    }

    /// Returns the URL of a topic, for publishing and for reading.
    ///
    /// A slash in the name stays a slash in the path. If a segment of the name is empty, `.` or `..`, all slashes are
    /// percent-encoded instead, because proxies and HTTP libraries would rewrite such a path.
    ///
    /// # Errors
    ///
    /// [`UrlError`] if the name is empty, `.` or `..`.
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

    /// Returns the URL of one stream for all `filters`: topic names, or patterns with the segments `*` and `**`.
    pub fn events<'a>(&self, filters: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.at("/events");
        url.query_pairs_mut().extend_pairs(filters.into_iter().map(|filter| ("topic", filter)));
        url
    }

    /// Returns the URL of all topics. Batches are published there.
    pub(crate) fn topics(&self) -> Url {
        self.at("/topics")
    }

    /// Returns the URL of the server itself.
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

/// Parses an http or https URL.
pub(crate) fn parse(url: &str) -> Result<Url, UrlError> {
    match Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => Ok(parsed),
        Ok(_) => Err(UrlError::Scheme { url: url.to_owned() }),
        Err(error) => Err(UrlError::Invalid { url: url.to_owned(), cause: error.to_string() }),
    }
}

/// Formats a URL for logs and errors, without user name and password.
pub(crate) fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    // These fail only for URLs that cannot have a user name.
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
    fn slashes_in_a_name_stay_slashes_in_the_path() {
        assert_eq!(path("a/b"), "/topics/a/b");
        assert_eq!(path("a b/ü?#%\\"), "/topics/a%20b/%C3%BC%3F%23%25%5C");
        assert_eq!(path("a+b:c"), "/topics/a+b:c");
    }

    #[test]
    fn slashes_that_a_proxy_would_rewrite_are_encoded() {
        assert_eq!(path("https://x/y"), "/topics/https:%2F%2Fx%2Fy");
        assert_eq!(path("/a"), "/topics/%2Fa");
        assert_eq!(path("a/"), "/topics/a%2F");
        assert_eq!(path("a/../b"), "/topics/a%2F..%2Fb");
        assert_eq!(path("a/./b"), "/topics/a%2F.%2Fb");
        assert_eq!(path("a/%2e%2e/b"), "/topics/a/%252e%252e/b");
    }

    #[test]
    fn names_that_cannot_be_in_a_path_are_refused() {
        let server = ServerUrl::new("http://h").unwrap();
        assert_eq!(server.topic(""), Err(UrlError::EmptyTopic));
        assert!(matches!(server.topic(".."), Err(UrlError::DotTopic { .. })));
    }

    #[test]
    fn a_server_url_may_have_a_path() {
        for base in ["http://h/live", "http://h/live/", "http://h/live/?x#y"] {
            let server = ServerUrl::new(base).unwrap();
            assert_eq!(server.topic("t").unwrap().as_str(), "http://h/live/topics/t", "{base}");
            assert_eq!(server.events(["t"]).as_str(), "http://h/live/events?topic=t", "{base}");
        }
    }

    #[test]
    fn other_schemes_and_invalid_urls_are_refused() {
        assert!(matches!(ServerUrl::new("ftp://h"), Err(UrlError::Scheme { .. })));
        assert!(matches!(ServerUrl::new("localhost:8080"), Err(UrlError::Scheme { .. })));
        assert!(matches!(ServerUrl::new("news"), Err(UrlError::Invalid { .. })));
    }
}
