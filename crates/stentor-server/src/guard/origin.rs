//! Origins that the operator allows.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An origin whose pages may read and publish, parsed from the text of an option or a setting.
///
/// Three forms are possible:
///
/// - scheme, host and an optional port, such as `https://example.org` or `http://10.0.0.7:8080`;
/// - `null`, the origin of sandboxed frames and of pages opened from a file;
/// - `*`, every origin.
///
/// Parsing brings the text into the form that browsers send: lower case, no default port, no
/// trailing slash, and IPv6 addresses in their short form.
///
/// ```
/// use stentor_server::AllowedOrigin;
///
/// let origin: AllowedOrigin = "HTTPS://Example.org:443/".parse()?;
/// assert_eq!(origin.as_str(), "https://example.org");
/// assert!("example.org".parse::<AllowedOrigin>().is_err());
/// # Ok::<(), stentor_server::OriginError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AllowedOrigin(Box<str>);

impl AllowedOrigin {
    /// Returns the origin as browsers send it, or `*`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `true` for `*`.
    pub(super) fn is_any(&self) -> bool {
        &*self.0 == "*"
    }

    /// Returns `true` if this is the origin that an `Origin` header names. `*` names none.
    pub(super) fn is(&self, header: &str) -> bool {
        !self.is_any() && self.0.eq_ignore_ascii_case(header)
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AllowedOrigin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<AllowedOrigin, OriginError> {
        let given = text.trim();
        let lower = given.to_ascii_lowercase();
        if matches!(lower.as_str(), "*" | "null") {
            return Ok(AllowedOrigin(lower.into()));
        }
        if given.contains([',', ';', ' ']) {
            return Err(OriginError::List { text: given.to_owned() });
        }
        if lower.contains('*') {
            return Err(OriginError::Wildcard { text: given.to_owned() });
        }
        let malformed = || OriginError::Malformed { text: given.to_owned() };
        let Some((scheme, rest)) = lower.split_once("://") else {
            // `https:example.org` is not a host without a scheme.
            let host = lower.split(['/', '?', '#']).next().filter(|host| !host.ends_with(':'));
            let host = normal_authority("", host).filter(|host| !host.is_empty());
            let host = host.ok_or_else(malformed)?;
            return Err(OriginError::NoScheme { text: given.to_owned(), host });
        };
        let authority = rest.split(['/', '?', '#']).next();
        let authority = normal_authority(scheme, authority).filter(|_| is_scheme(scheme));
        let origin = format!("{scheme}://{}", authority.ok_or_else(malformed)?);
        if rest.strip_suffix('/').unwrap_or(rest).contains(['/', '?', '#']) {
            return Err(OriginError::Path { text: given.to_owned(), origin });
        }
        Ok(AllowedOrigin(origin.into()))
    }
}

/// The host, and the port if it is not the default one of the scheme.
fn normal_authority(scheme: &str, authority: Option<&str>) -> Option<String> {
    let authority = authority?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, ""),
    };
    // Pages that Android shows from a file have the origin `file://`.
    let host = if host.is_empty() && scheme == "file" && port.is_empty() {
        String::new()
    } else {
        normal_host(host)?
    };
    let default = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    if port.is_empty() {
        return Some(host);
    }
    let number: u16 =
        port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())??;
    Some(if Some(number) == default { host } else { format!("{host}:{number}") })
}

/// The host in the form that browsers send; `None` if it is not one.
fn normal_host(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().ok()?;
        // The standard library writes the last 32 bits of these with dots. Browsers do not.
        return Some(match address.segments() {
            [0, 0, 0, 0, 0, 0xffff, high, low] => format!("[::ffff:{high:x}:{low:x}]"),
            _ => format!("[{address}]"),
        });
    }
    // A dot at the end makes a different origin, so it is kept.
    let labels = host.strip_suffix('.').unwrap_or(host);
    let is_label = |label: &str| {
        let is_in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !label.is_empty() && label.bytes().all(is_in_name)
    };
    // Browsers read a host as an IPv4 address if its last label is a number.
    let last = labels.rsplit('.').next().unwrap_or_default();
    let is_number = last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit());
    let is_host =
        if is_number { host.parse::<Ipv4Addr>().is_ok() } else { labels.split('.').all(is_label) };
    is_host.then(|| host.to_owned())
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// A text that is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OriginError {
    /// The scheme is missing.
    #[error("{text:?} has no scheme; write https://{host} or http://{host}")]
    NoScheme {
        /// The text.
        text: String,
        /// The host and port within it.
        host: String,
    },
    /// The text has several origins.
    #[error("{text:?} has several origins; give each one separately")]
    List {
        /// The text.
        text: String,
    },
    /// Part of the text is a wildcard.
    #[error(
        "{text:?} has a wildcard, which no browser sends; list each origin in full, or use * to \
         allow every origin"
    )]
    Wildcard {
        /// The text.
        text: String,
    },
    /// A path, a query or a fragment follows the host.
    #[error("{text:?} has a path, a query or a fragment; write only {origin}")]
    Path {
        /// The text.
        text: String,
        /// The origin within it.
        origin: String,
    },
    /// The text has some other form.
    #[error(
        "{text:?} is not an origin; write scheme, host in ASCII and an optional port, such as \
         https://example.org:8443"
    )]
    Malformed {
        /// The text.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        text.parse::<AllowedOrigin>().unwrap().to_string()
    }

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for (text, origin) in [
            ("https://example.org", "https://example.org"),
            ("https://example.org/", "https://example.org"),
            ("HTTPS://Example.ORG", "https://example.org"),
            ("https://example.org:443", "https://example.org"),
            ("http://example.org:80/", "http://example.org"),
            ("http://example.org:443", "http://example.org:443"),
            ("https://example.org:8443", "https://example.org:8443"),
            ("https://[::1]:443", "https://[::1]"),
            ("http://[::1]", "http://[::1]"),
            ("https://[0:0:0:0:0:0:0:1]:8443", "https://[::1]:8443"),
            ("https://[2001:DB8:0:0::A]", "https://[2001:db8::a]"),
            ("https://[::ffff:1.2.3.4]", "https://[::ffff:102:304]"),
            ("https://example.org:0443", "https://example.org"),
            ("https://example.org.", "https://example.org."),
            ("https://a_b.example", "https://a_b.example"),
            ("http://10.0.0.7:8080", "http://10.0.0.7:8080"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
            ("file://", "file://"),
            ("*", "*"),
            ("NULL", "null"),
            (" https://example.org ", "https://example.org"),
        ] {
            assert_eq!(parsed(text), origin, "{text}");
        }
    }

    #[test]
    fn a_text_that_no_browser_sends_is_refused_with_advice() {
        for (text, advice) in [
            ("example.org", "https://example.org"),
            ("localhost:5173", "http://localhost:5173"),
            ("https://*.example.org", "use *"),
            ("https://example.org/app", "write only https://example.org"),
            ("https://example.org?x", "https://example.org"),
            ("https://", "https://example.org:8443"),
            ("https://user@example.org", "such as"),
            ("https://example.org:port", "such as"),
            ("https://example.org:99999", "such as"),
            ("https://bücher.example", "ASCII"),
            ("https://[::1", "such as"),
            ("://example.org", "such as"),
            ("", "such as"),
            ("https:example.org", "such as"),
            ("https:/example.org", "such as"),
            ("//example.org", "such as"),
            ("example.org/app", "write https://example.org or"),
            ("https://...", "such as"),
            ("https://a..b", "such as"),
            ("https://10.1", "such as"),
            ("https://0x7f.1", "such as"),
            ("https://256.1.1.1", "such as"),
            ("https://10.0.0.1.", "such as"),
            ("https://a.example,https://b.example", "separately"),
            ("https://a.example https://b.example", "separately"),
            ("a.example, b.example", "separately"),
        ] {
            let error = text.parse::<AllowedOrigin>().unwrap_err().to_string();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }
}
