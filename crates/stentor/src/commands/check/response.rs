//! The head of the answer: status, redirects and headers.

use reqwest::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName};
use reqwest::{Method, StatusCode};

use super::endpoint::{Endpoint, NoAnswer, Visit};
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
    title: "The answer is 200 OK",
    why: "An EventSource opens on 200 alone. Anything else closes it for good: no reconnect follows, not \
          even after a 503 that lasts for a second.",
    mend: "Answer 200 with the stream. When overloaded or about to stop, answer 200, a `retry:` and a clean \
           end, so that readers come back; answer 204 when they shall not.",
};
const REDIRECTS: Check = Check {
    name: "redirects",
    title: "Redirects, if any, can be followed",
    why: "Each reconnect begins at the original address again. A loop, or a way from https to http, is an \
          error in every browser.",
    mend: "Give readers the address of the stream itself, over https throughout.",
};
const CONTENT_TYPE_: Check = Check {
    name: "content-type",
    title: "The type is text/event-stream",
    why: "A browser refuses a stream of any other type, and closes the EventSource for good. The text is \
          UTF-8 whatever a charset says.",
    mend: "Send `Content-Type: text/event-stream`, without a charset or with utf-8.",
};
const CACHE_CONTROL_: Check = Check {
    name: "cache-control",
    title: "No cache keeps the stream, and nobody transforms it",
    why: "A cache that waits for the whole answer waits for ever, or serves old events. Without \
          `no-transform` proxies and middleware may compress the stream, which holds events back.",
    mend: "Send `Cache-Control: no-cache, no-store, no-transform`.",
};
const X_ACCEL_BUFFERING: Check = Check {
    name: "x-accel-buffering",
    title: "nginx is told not to buffer",
    why: "nginx, and what is built on it, collects an answer into blocks of 4 or 8 KiB by default: events \
          wait until a block is full. This header turns that off for one answer.",
    mend: "Send `X-Accel-Buffering: no`, in this spelling, even if no nginx is on the path today.",
};
const CONTENT_LENGTH_: Check = Check {
    name: "content-length",
    title: "The length is left open",
    why: "A stream has no length. After as many bytes as were announced the connection is over, or a proxy \
          waits for the rest.",
    mend: "Leave out `Content-Length`; HTTP/1.1 sends such a body in chunks, or closes at its end.",
};
const HEAD: Check = Check {
    name: "head",
    title: "HEAD is answered at once",
    why: "Monitors and link checkers ask with HEAD. A server that opens a stream for it keeps the reader \
          waiting and the stream open.",
    mend: "Answer HEAD with the headers of GET and nothing else, or refuse it with 405.",
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
        _ if visit.astray.is_some() => STATUS.not_observable("a redirect leads nowhere"),
        200 => STATUS.pass(format!("{:?} {status}", visit.response.version())),
        204 => {
            STATUS.warn("204: the server has nothing more for readers, and they do not come back")
        }
        401 | 403 => STATUS.fail(format!("{status}; --token or --header can say who asks")),
        _ => STATUS.fail(status.to_string()),
    }
}

fn redirects(visit: &Visit) -> Finding {
    let way: Vec<String> =
        visit.hops.iter().map(|hop| format!("{} to {}", hop.status.as_u16(), hop.target)).collect();
    let way = way.join(", ");
    match visit.astray {
        Some(why) if way.is_empty() => {
            REDIRECTS.fail(format!("{}: {why}", visit.response.status()))
        }
        Some(why) => REDIRECTS.fail(format!("{way}: {why}")),
        None if way.is_empty() => REDIRECTS.pass("none"),
        None => REDIRECTS.pass(way),
    }
}

fn content_type(headers: &HeaderMap) -> Finding {
    let Some(text) = value(headers, &CONTENT_TYPE) else {
        return CONTENT_TYPE_.fail("there is no Content-Type");
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
            let saw = format!("{text}: readers take it for UTF-8 and not for {charset}");
            CONTENT_TYPE_.warn(saw)
        }
    }
}

fn cache_control(headers: &HeaderMap) -> Finding {
    let Some(text) = value(headers, &CACHE_CONTROL) else {
        return CACHE_CONTROL_.fail("there is no Cache-Control");
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
        None => X_ACCEL_BUFFERING.warn("it is not sent"),
        Some(text) if text.eq_ignore_ascii_case("no") => X_ACCEL_BUFFERING.pass(text),
        Some(text) => {
            X_ACCEL_BUFFERING.fail(format!("{text}, where only `no` turns buffering off"))
        }
    }
}

fn content_length(headers: &HeaderMap) -> Finding {
    match value(headers, &CONTENT_LENGTH) {
        None => CONTENT_LENGTH_.pass("none is announced"),
        Some(length) => CONTENT_LENGTH_.fail(format!("{length} bytes are announced")),
    }
}

/// Asks with HEAD.
pub(super) async fn head(endpoint: &Endpoint) -> Vec<Finding> {
    let request = endpoint.with_headers(endpoint.bare(Method::HEAD));
    let finding = match endpoint.send(request).await {
        Ok(answer) if answer.response.status() == StatusCode::INTERNAL_SERVER_ERROR => {
            HEAD.warn(answer.response.status().to_string())
        }
        Ok(answer) => HEAD.pass(answer.response.status().to_string()),
        Err(NoAnswer::Silent(wait)) => HEAD.fail(NoAnswer::Silent(wait).to_string()),
        Err(error) => HEAD.warn(error.to_string()),
    };
    vec![finding]
}

/// All values of a header, as one line; bytes that are no text are replaced.
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
    fn the_essence_of_the_type_counts_and_a_charset_is_utf_8() {
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
