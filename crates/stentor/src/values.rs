//! Value parsers of the command line.
//!
//! Each error names what is wrong and gives an example; clap puts the value and its option in front.

mod header;
mod root_certificates;

use std::fmt::Display;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use http::Method;
use stentor_client::{EventType, ServerUrl, Url};
use stentor_hub::{EVENT_TYPE_BYTES_MAX, TopicError, TopicFilter, TopicName};
use stentor_server::AllowedOrigin;

pub(crate) use self::header::{Header, header, header_value};
pub(crate) use self::root_certificates::RootCertificates;
use crate::duration;

/// Maximum number of bytes of an idempotency key, as the server limits it.
const KEY_BYTES_MAX: usize = 256;

/// Parses a whole number of at least 1.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    number_in(text, 1..=u64::MAX)
}

/// Parses a whole number of at least 1 that fits 32 bits.
pub(crate) fn count_u32(text: &str) -> Result<u32, String> {
    let number = number_in(text, 1..=u64::from(u32::MAX))?;
    u32::try_from(number).map_err(|error| error.to_string())
}

/// Parses a whole number of at least 0.
pub(crate) fn number(text: &str) -> Result<u32, String> {
    let number = number_in(text, 0..=u64::from(u32::MAX))?;
    u32::try_from(number).map_err(|error| error.to_string())
}

/// Parses a whole number within the range.
pub(crate) fn number_in(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ if *range.end() >= u64::from(u32::MAX) => {
            Err(format!("expected a whole number of at least {}, such as 10", range.start()))
        }
        _ => Err(format!("expected a whole number from {} to {}", range.start(), range.end())),
    }
}

/// Parses a duration of at most a day, as the server limits a lease.
pub(crate) fn lease(text: &str) -> Result<Duration, String> {
    at_most(text, Duration::from_hours(24), "a day")
}

/// Parses a duration of at most an hour, as the server limits a reconnection time.
pub(crate) fn retry(text: &str) -> Result<Duration, String> {
    at_most(text, Duration::from_hours(1), "an hour")
}

fn at_most(text: &str, limit: Duration, name: &str) -> Result<Duration, String> {
    let time = duration::parse(text)?;
    if time > limit { Err(format!("expected at most {name}, such as 30s")) } else { Ok(time) }
}

/// Parses an address to listen on. A host name is looked up later.
pub(crate) fn listen_address(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    if is_host(host) && is_port(port) {
        return Ok(text.to_owned());
    }
    Err("expected HOST:PORT, such as 127.0.0.1:8080".to_owned())
}

/// Parses a value of a `Host` header: a host, with or without a port.
pub(crate) fn host_header(text: &str) -> Result<String, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, "0"),
    };
    if is_host(host) && is_port(port) {
        return Ok(text.to_owned());
    }
    Err("expected a host name in ASCII, such as news.example.org".to_owned())
}

fn is_port(text: &str) -> bool {
    !text.starts_with('+') && text.parse::<u16>().is_ok()
}

/// `true` for the text of an IP address or of a name. The name may not exist.
fn is_host(text: &str) -> bool {
    let address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let is_in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    // An address can name its network interface: `fe80::1%eth0`.
    let address = address.split_once('%').map_or(address, |(address, _)| address);
    address.parse::<Ipv6Addr>().is_ok() || !text.is_empty() && text.bytes().all(is_in_name)
}

/// Parses the origin of a web page for a test.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    match text.parse::<AllowedOrigin>() {
        Ok(origin) if origin.as_str() == "*" => {
            Err("expected one origin, such as https://app.example".to_owned())
        }
        Ok(origin) => Ok(origin.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Parses the URL of a Stentor server.
pub(crate) fn server_url(text: &str) -> Result<String, String> {
    http_url(text).map_err(|_| "expected a URL such as http://localhost:8080".to_owned())?;
    ServerUrl::new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// Parses the URL of an event stream.
pub(crate) fn http_url(text: &str) -> Result<Url, String> {
    match text.parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err("expected a URL such as https://example.com/events".to_owned()),
    }
}

/// Parses the URL of an event stream, and returns it as it was written.
pub(crate) fn stream_url(text: &str) -> Result<String, String> {
    http_url(text).map(|_| text.to_owned())
}

/// `true` if the argument is meant as a URL and not as a topic.
pub(crate) fn is_url(text: &str) -> bool {
    text.contains("://")
}

/// Returns the URL that the text is, or would be with `http://` in front; `None` for other text.
///
/// A topic can have a colon, so text without a scheme counts only if it has the form HOST:PORT/PATH, and
/// the host or the path shows that it is an address: `job:7/log` is a topic.
fn url_meant(text: &str) -> Option<Url> {
    let has_scheme = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if has_scheme("http://") || has_scheme("https://") {
        return text.parse().ok();
    }
    let (authority, path) = text.split_once('/')?;
    let (host, port) = authority.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    let is_host = host == "localhost" || host.contains('.') || host.starts_with('[');
    let is_path = path.starts_with("topics/") || path.starts_with("events?");
    if is_host || (is_path && !host.is_empty()) {
        format!("http://{text}").parse().ok()
    } else {
        None
    }
}

/// Refuses a URL where only a topic is possible. The error has the arguments to write instead.
fn not_a_url(text: &str) -> Result<(), String> {
    let Some(url) = url_meant(text) else { return Ok(()) };
    let server = url.origin().ascii_serialization();
    let topic = url.path().strip_prefix("/topics/").filter(|topic| !topic.is_empty());
    Err(format!(
        "this is a URL, not a topic; write the topic, and the server as an option: {} --url {server}",
        topic.unwrap_or("TOPIC")
    ))
}

/// Refuses a URL without its scheme where both a URL and a topic are possible.
fn not_schemeless(text: &str) -> Result<(), String> {
    match url_meant(text) {
        Some(_) => Err(format!("this is a URL without its scheme; did you mean http://{text}?")),
        None => Ok(()),
    }
}

/// Returns the text of the error, with the command or URL to use instead.
fn topic_error(text: &str, error: &TopicError) -> String {
    match error {
        TopicError::Wildcard { .. } => {
            format!("{error}; to subscribe to a pattern, use stentor sub '{text}'")
        }
        TopicError::PartialWildcard { .. } => format!(
            "{error}; to read the topic of exactly this name, give its URL: \
             http://localhost:8080/topics/{text}"
        ),
        error => error.to_string(),
    }
}

/// Parses the name of a topic.
pub(crate) fn topic(text: &str) -> Result<String, String> {
    not_a_url(text)?;
    topic_name(text)
}

fn topic_name(text: &str) -> Result<String, String> {
    TopicName::new(text).map_err(|error| topic_error(text, &error))?;
    let server = ServerUrl::new("http://localhost").map_err(|error| error.to_string())?;
    server.topic(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// Parses the name of a topic, or the URL of a stream.
pub(crate) fn topic_or_url(text: &str) -> Result<String, String> {
    if is_url(text) {
        return stream_url(text);
    }
    not_schemeless(text)?;
    topic_name(text)
}

/// Parses the name of a topic, a pattern of topics, or the URL of a stream.
pub(crate) fn filter_or_url(text: &str) -> Result<String, String> {
    if is_url(text) {
        return stream_url(text);
    }
    not_schemeless(text)?;
    match text.parse::<TopicFilter>() {
        Ok(_) if is_pattern(text) => Ok(text.to_owned()),
        Ok(_) => topic_name(text),
        Err(error) => Err(topic_error(text, &error)),
    }
}

/// `true` if one segment is `*` or `**`, so that the filter can match many topics.
pub(crate) fn is_pattern(filter: &str) -> bool {
    filter.split('/').any(|segment| matches!(segment, "*" | "**"))
}

/// Parses an HTTP method.
pub(crate) fn method(text: &str) -> Result<String, String> {
    parsed::<Method>(text, "expected an HTTP method such as POST")
}

/// Parses the name of an event type to publish.
pub(crate) fn event_type(text: &str) -> Result<String, String> {
    if text.starts_with("stentor.") {
        return Err("types that begin with `stentor.` are reserved; choose another name".to_owned());
    }
    match type_filter(text) {
        Ok(name) if name.len() <= EVENT_TYPE_BYTES_MAX => Ok(name),
        Ok(_) => Err(format!("a type has at most {EVENT_TYPE_BYTES_MAX} bytes; shorten it")),
        Err(error) => Err(error),
    }
}

/// Parses the name of an event type to select.
pub(crate) fn type_filter(text: &str) -> Result<String, String> {
    EventType::new(text).map_err(|_| "expected a name without line breaks, such as update")?;
    Ok(text.to_owned())
}

/// Parses an idempotency key.
pub(crate) fn idempotency_key(text: &str) -> Result<String, String> {
    let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_visible && (1..=KEY_BYTES_MAX).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err(format!("expected 1 to {KEY_BYTES_MAX} visible ASCII characters, such as order-7"))
}

fn parsed<T: FromStr>(text: &str, advice: impl Display) -> Result<String, String> {
    text.parse::<T>().map(|_| text.to_owned()).map_err(|_| advice.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_within_its_range() {
        assert_eq!(count("10"), Ok(10));
        assert_eq!(number("0"), Ok(0));
        for text in ["0", "-1", "1.5", "ten", "", "99999999999999999999"] {
            assert!(count(text).unwrap_err().contains("at least 1, such as 10"), "{text}");
        }
        assert!(number_in("9", 1..=8).unwrap_err().contains("from 1 to 8"));
    }

    #[test]
    fn times_that_the_server_limits_are_limited() {
        assert_eq!(retry("1h"), Ok(Duration::from_hours(1)));
        assert!(retry("61m").unwrap_err().contains("an hour"));
        assert!(lease("25h").unwrap_err().contains("a day"));
        assert!(lease("soon").unwrap_err().contains("30m"));
    }

    #[test]
    fn an_address_to_listen_on_has_a_port() {
        for text in ["127.0.0.1:0", "localhost:8080", "[::1]:80", "::1:80", "[fe80::1%eth0]:80"] {
            assert_eq!(listen_address(text), Ok(text.to_owned()));
        }
        for text in [
            "localhost",
            ":80",
            "localhost:http",
            "127.0.0.1:99999",
            "127.0.0.1:+1",
            "",
            "http://localhost:80",
            "http://[::1",
            "*:80",
            "a b:80",
        ] {
            assert!(listen_address(text).unwrap_err().contains("127.0.0.1:8080"), "{text}");
        }
    }

    #[test]
    fn a_host_header_is_a_name_or_an_address() {
        for text in ["news.example.org", "localhost", "a_b:8080", "10.0.0.1", "[::1]", "[::1]:80"] {
            assert_eq!(host_header(text), Ok(text.to_owned()));
        }
        for text in
            ["", "https://example.org", "example.org/", "*", "a b", "a\nb", "b\u{fc}cher", "a:x"]
        {
            assert!(host_header(text).unwrap_err().contains("news.example.org"), "{text}");
        }
    }

    #[test]
    fn an_origin_to_test_is_one_that_a_browser_sends() {
        assert_eq!(origin("https://App.example:443/").as_deref(), Ok("https://app.example"));
        for text in ["app.example", "*", "", "https://app.example/path", "https://*.example"] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_star_inside_a_segment_is_refused_with_advice_for_the_command_line() {
        let error = filter_or_url("news*").unwrap_err();
        assert!(error.contains("`news/*`"), "{error}");
        assert!(error.ends_with("give its URL: http://localhost:8080/topics/news*"), "{error}");
    }

    #[test]
    fn a_url_is_http_and_has_a_host() {
        for text in ["http://x/y?z", "https://example.com", "http://localhost:8080/base"] {
            assert!(stream_url(text).is_ok() && server_url(text).is_ok(), "{text}");
        }
        for text in ["localhost:8080", "/events", "http://", "ftp://x/", "x", ""] {
            assert!(stream_url(text).unwrap_err().contains("https://example.com/events"), "{text}");
            assert!(server_url(text).unwrap_err().contains("http://localhost:8080"), "{text}");
        }
    }

    #[test]
    fn topics_patterns_and_urls_are_distinguished() {
        for text in ["news", "a/b", "https://x/y"] {
            assert!(topic_or_url(text).is_ok() && filter_or_url(text).is_ok(), "{text}");
        }
        for text in ["*", "a/*", "a/**"] {
            assert!(topic_or_url(text).is_err() && filter_or_url(text).is_ok(), "{text}");
        }
        for text in ["", "a/**/b", "a\nb", "http://", "."] {
            assert!(topic_or_url(text).is_err() && filter_or_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_is_not_taken_for_a_topic() {
        for text in
            ["http://localhost:8080/topics/news", "HTTPS://x/y", "localhost:8080/topics/news"]
        {
            assert!(topic(text).unwrap_err().contains("--url http"), "{text}");
        }
        for text in ["localhost:8080/news", "h:80/topics/a", "10.0.0.1:80/x", "[::1]:8080/topics/a"]
        {
            let meant = format!("did you mean http://{text}?");
            assert!(topic_or_url(text).unwrap_err().contains(&meant), "{text}");
            assert!(filter_or_url(text).unwrap_err().contains(&meant), "{text}");
        }
        for text in
            ["job:7", "job:7/log", "localhost:8080", "a.b:x/y", "urn:isbn:1/2", "mqtt://h/t"]
        {
            assert_eq!(topic(text), Ok(text.to_owned()));
        }
    }

    #[test]
    fn no_error_has_the_text_of_a_library() {
        for error in [
            count("x").unwrap_err(),
            server_url("x").unwrap_err(),
            header("ü: x").unwrap_err(),
            method("a b").unwrap_err(),
            event_type("a\nb").unwrap_err(),
            header_value("a\nb").unwrap_err(),
            idempotency_key("").unwrap_err(),
            duration::parse("soon").unwrap_err(),
        ] {
            for leak in ["digit", "relative URL", "HTTP header name", "failed to parse", "os error"]
            {
                assert!(!error.contains(leak), "{error}");
            }
        }
    }
}
