//! Checks of the response head: status, redirects and headers.

use reqwest::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};

use super::endpoint::{Endpoint, NoResponse, Visit};
use super::finding::{Check, Finding};

pub(super) const CHECKS: &[&Check] = &[
    &STATUS,
    &REDIRECTS,
    &CONTENT_TYPE_,
    &CACHE_CONTROL_,
    &X_ACCEL_BUFFERING,
    &CONTENT_LENGTH_,
    &HEAD,
];

const STATUS: Check = Check {
    name: "status",
    title: "The response is 200 OK",
    why: "An EventSource opens only on 200. Any other status closes it for good, and it does not \
          reconnect, not even after a 503 that lasts one second.",
    fix: "Respond 200 with the stream. When overloaded or shutting down, respond 200 with a `retry:` and \
          a clean end, so that subscribers reconnect. Respond 204 when they must not.",
};
const REDIRECTS: Check = Check {
    name: "redirects",
    title: "Redirects, if any, can be followed",
    why: "Each reconnect starts at the original URL again. A loop, or a redirect from https to http, is \
          an error in every browser.",
    fix: "Give subscribers the URL of the stream itself, with https throughout.",
};
const CONTENT_TYPE_: Check = Check {
    name: "content-type",
    title: "The type is text/event-stream",
    why: "A browser refuses a stream of any other type and closes the EventSource for good. The text is \
          always UTF-8, whatever the charset parameter says.",
    fix: "Send `Content-Type: text/event-stream`, without a charset or with utf-8.",
};
const CACHE_CONTROL_: Check = Check {
    name: "cache-control",
    title: "No cache stores the stream, and no proxy transforms it",
    why: "A cache that waits for the complete response waits without end, or serves old events. Without \
          `no-transform` proxies and middleware may compress the stream, which delays events.",
    fix: "Send `Cache-Control: no-cache, no-store, no-transform`.",
};
const X_ACCEL_BUFFERING: Check = Check {
    name: "x-accel-buffering",
    title: "Buffering by nginx is turned off",
    why: "By default nginx, and proxies built on it, collect a response into blocks of 4 or 8 KiB: \
          events wait until a block is full. This header turns that off for one response.",
    fix: "Send `X-Accel-Buffering: no`, spelled exactly like this, even if there is no nginx on the path \
          today.",
};
const CONTENT_LENGTH_: Check = Check {
    name: "content-length",
    title: "No length is announced",
    why: "A stream has no length. After the announced number of bytes the connection is closed, or a \
          proxy waits for the rest.",
    fix: "Omit `Content-Length`. HTTP/1.1 then sends the body in chunks, or closes the connection at its \
          end.",
};
const HEAD: Check = Check {
    name: "head",
    title: "HEAD gets a response at once",
    why: "Monitors and link checkers send HEAD. A server that opens a stream for it keeps them waiting \
          and holds the stream open.",
    fix: "Respond to HEAD with the headers of GET and nothing else, or refuse it with 405.",
};

pub(super) fn judge(visit: &Visit) -> Vec<Finding> {
    let mut findings = vec![status(visit), redirects(visit)];
    if visit.response.status() == StatusCode::OK {
        let headers = visit.response.headers();
        findings.extend([
            content_type(headers),
            cache_control(headers),
            x_accel_buffering(headers),
            content_length(headers),
        ]);
    }
    findings
}

fn status(visit: &Visit) -> Finding {
    let status = visit.response.status();
    match status.as_u16() {
        _ if visit.bad_redirect.is_some() => STATUS.not_observable("a redirect cannot be followed"),
        200 => STATUS.pass(format!("{:?} {status}", visit.response.version())),
        204 => STATUS.warn("204: the server has no more events, so subscribers do not reconnect"),
        401 | 403 => STATUS.fail(format!("{status}; send credentials with --token or --header")),
        _ => STATUS.fail(status.to_string()),
    }
}

fn redirects(visit: &Visit) -> Finding {
    let path: Vec<String> =
        visit.hops.iter().map(|hop| format!("{} to {}", hop.status.as_u16(), hop.target)).collect();
    let path = path.join(", ");
    match visit.bad_redirect {
        Some(why) if path.is_empty() => {
            REDIRECTS.fail(format!("{}: {why}", visit.response.status()))
        }
        Some(why) => REDIRECTS.fail(format!("{path}: {why}")),
        None if path.is_empty() => REDIRECTS.pass("none"),
        None => REDIRECTS.pass(path),
    }
}

fn content_type(headers: &HeaderMap) -> Finding {
    let Some(text) = value(headers, &CONTENT_TYPE) else {
        return CONTENT_TYPE_.fail("the header Content-Type is missing");
    };
    let mut parts = text.split(';').map(str::trim);
    if !parts.next().unwrap_or_default().eq_ignore_ascii_case("text/event-stream") {
        return CONTENT_TYPE_.fail(text);
    }
    let charset = parts.filter_map(|part| part.split_once('=')).find_map(|(name, value)| {
        name.eq_ignore_ascii_case("charset").then(|| value.trim_matches('"').to_ascii_lowercase())
    });
    match charset.as_deref() {
        None | Some("utf-8" | "utf8") => CONTENT_TYPE_.pass(text),
        Some(charset) => {
            let saw = format!("{text}: subscribers decode it as UTF-8, not as {charset}");
            CONTENT_TYPE_.warn(saw)
        }
    }
}

fn cache_control(headers: &HeaderMap) -> Finding {
    let Some(text) = value(headers, &CACHE_CONTROL) else {
        return CACHE_CONTROL_.fail("the header Cache-Control is missing");
    };
    let lower = text.to_ascii_lowercase();
    let has = |name| lower.split(',').any(|directive| directive.trim() == name);
    if !has("no-cache") && !has("no-store") {
        CACHE_CONTROL_.fail(text)
    } else if !has("no-transform") {
        CACHE_CONTROL_.warn(format!("{text}, without no-transform"))
    } else {
        CACHE_CONTROL_.pass(text)
    }
}

fn x_accel_buffering(headers: &HeaderMap) -> Finding {
    match value(headers, &HeaderName::from_static("x-accel-buffering")) {
        None => X_ACCEL_BUFFERING.warn("the header is missing"),
        Some(text) if text.eq_ignore_ascii_case("no") => X_ACCEL_BUFFERING.pass(text),
        Some(text) => X_ACCEL_BUFFERING.fail(format!("{text}; only `no` turns buffering off")),
    }
}

fn content_length(headers: &HeaderMap) -> Finding {
    match value(headers, &CONTENT_LENGTH) {
        None => CONTENT_LENGTH_.pass("no length"),
        Some(length) => CONTENT_LENGTH_.fail(format!("{length} bytes")),
    }
}

/// Sends a HEAD request.
pub(super) async fn head(endpoint: &Endpoint) -> Vec<Finding> {
    let request = endpoint.with_headers(endpoint.bare(Method::HEAD));
    let finding = match endpoint.send(request).await {
        Ok(open) if open.response.status() == StatusCode::INTERNAL_SERVER_ERROR => {
            HEAD.warn(open.response.status().to_string())
        }
        Ok(open) => HEAD.pass(open.response.status().to_string()),
        Err(NoResponse::Silent(wait)) => HEAD.fail(NoResponse::Silent(wait).to_string()),
        Err(error) => HEAD.warn(error.to_string()),
    };
    vec![finding]
}

/// Returns all values of a header in one line. Bytes that are not UTF-8 are replaced.
pub(super) fn value(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values = headers.get_all(name).iter();
    let values: Vec<_> =
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::super::finding::Outcome;
    use super::*;

    fn with(name: &'static str, text: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(text))])
    }

    #[test]
    fn the_type_without_parameters_counts_and_a_charset_is_utf_8() {
        let outcome = |text| content_type(&with("content-type", text)).outcome;
        for text in
            ["text/event-stream", "Text/Event-Stream;", "text/event-stream; charset=\"UTF-8\""]
        {
            assert_eq!(outcome(text), Outcome::Pass, "{text}");
        }
        assert_eq!(outcome("text/event-stream;charset=iso-8859-1"), Outcome::Warning);
        for text in ["text/plain", "text/event-stream x", "application/json"] {
            assert_eq!(outcome(text), Outcome::Fail, "{text}");
        }
        assert_eq!(content_type(&HeaderMap::new()).outcome, Outcome::Fail);
    }

    #[test]
    fn caches_and_transformers_are_kept_off() {
        let outcome = |text| cache_control(&with("cache-control", text)).outcome;
        assert_eq!(outcome("No-Cache, no-transform"), Outcome::Pass);
        assert_eq!(outcome("no-store"), Outcome::Warning);
        assert_eq!(outcome("max-age=0, no-transform"), Outcome::Fail);
    }

    #[test]
    fn nginx_understands_no_and_nothing_else() {
        let outcome = |text| x_accel_buffering(&with("x-accel-buffering", text)).outcome;
        assert_eq!((outcome("no"), outcome("off")), (Outcome::Pass, Outcome::Fail));
        assert_eq!(x_accel_buffering(&HeaderMap::new()).outcome, Outcome::Warning);
    }
}
