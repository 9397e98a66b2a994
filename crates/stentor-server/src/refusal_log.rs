//! Log lines about refused requests. They are limited, so that many refusals do not flood the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use http::StatusCode;
use tokio::time::Instant;
use tracing::Level;

/// Minimum time between two lines with the same code.
const INTERVAL: Duration = Duration::from_secs(1);

static LIMITER: RateLimiter = RateLimiter::new();

/// Logs a refused request (403, 413, 429 or 503) at the level `info`, at most once for each code and
/// second. Other statuses are errors of the client and are not logged.
///
/// `detail` is the text that the client gets. It names the option that would allow the request.
pub(crate) fn log_refusal(status: StatusCode, code: &'static str, detail: &str) {
    let is_refusal = matches!(
        status,
        StatusCode::FORBIDDEN
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
    );
    if !is_refusal || !tracing::enabled!(Level::INFO) {
        return;
    }
    if let Some(suppressed) = LIMITER.check(code, Instant::now()) {
        let suppressed = Some(suppressed).filter(|count| *count > 0);
        tracing::info!(status = status.as_u16(), code, suppressed, "refused a request: {detail}");
    }
}

/// Logs the error of a service that a client gets 503 for, at the level `warn` and at most once a
/// second.
pub(crate) fn log_service_error(error: &impl fmt::Display) {
    if let Some(suppressed) = LIMITER.check("service-error", Instant::now()) {
        let suppressed = Some(suppressed).filter(|count| *count > 0);
        tracing::warn!(%error, suppressed, "refused a request");
    }
}

/// Logs that a connection cannot be accepted, at most once a second.
pub(crate) fn log_accept_error(error: &io::Error) {
    if let Some(suppressed) = LIMITER.check("accept", Instant::now()) {
        let suppressed = Some(suppressed).filter(|count| *count > 0);
        tracing::error!(%error, suppressed, "cannot accept connections; trying again in 100 ms");
    }
}

/// Logs that a server has the maximum number of connections, at most once a second.
pub(crate) fn log_full(connections: usize) {
    if let Some(suppressed) = LIMITER.check("full", Instant::now()) {
        let suppressed = Some(suppressed).filter(|count| *count > 0);
        tracing::warn!(connections, suppressed, "too many connections; refusing new ones");
    }
}

/// Logs that a stream cannot be opened, at most once a second for each reason.
pub(crate) fn log_stream_error(reason: &'static str, error: &impl fmt::Display) {
    if let Some(suppressed) = LIMITER.check(reason, Instant::now()) {
        let suppressed = Some(suppressed).filter(|count| *count > 0);
        tracing::warn!(%error, suppressed, "cannot open a stream: {reason}; the subscriber will reconnect");
    }
}

/// Limits log lines to one for each code and [`INTERVAL`].
struct RateLimiter {
    /// One entry for each code. A program has few codes.
    codes: Mutex<Vec<Entry>>,
}

struct Entry {
    code: &'static str,
    logged: Instant,
    /// Number of lines suppressed since then.
    suppressed: u64,
}

impl RateLimiter {
    const fn new() -> RateLimiter {
        RateLimiter { codes: Mutex::new(Vec::new()) }
    }

    /// Returns the number of lines that were suppressed since the last one, or `None` if this line is
    /// suppressed too.
    fn check(&self, code: &'static str, now: Instant) -> Option<u64> {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = codes.iter_mut().find(|entry| entry.code == code) else {
            codes.push(Entry { code, logged: now, suppressed: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(entry.logged) < INTERVAL {
            entry.suppressed += 1;
            return None;
        }
        entry.logged = now;
        Some(std::mem::take(&mut entry.suppressed))
    }
}

/// Warns about the first web page of a kind whose origin is not allowed. Clones share one state.
///
/// The kinds are the origin `null` and all other origins. Both are common in a first test, and the
/// browser does not show the reason.
#[derive(Clone, Debug, Default)]
pub(crate) struct OriginWarnings(Arc<Warned>);

#[derive(Debug, Default)]
struct Warned {
    null: AtomicBool,
    other: AtomicBool,
}

impl OriginWarnings {
    /// `advice` names the option or method that allows the origin.
    pub(crate) fn warn_once(&self, origin: &str, advice: impl FnOnce() -> String) {
        let is_null = origin == "null";
        let warned = if is_null { &self.0.null } else { &self.0.other };
        if warned.load(Ordering::Relaxed) || warned.swap(true, Ordering::Relaxed) {
            return;
        }
        let advice = advice();
        if is_null {
            tracing::warn!(
                "a web page with the origin `null` cannot use this server: it was opened from a file or \
                 runs in a sandboxed frame; serve it over HTTP, or allow all such pages with \
                 {advice} (logged once)"
            );
        } else {
            tracing::warn!(
                "a web page from {origin} cannot use this server; allow it with {advice} \
                 (logged once; -v logs further refusals)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_logged_once_a_second_with_the_number_of_suppressed_lines() {
        let limiter = RateLimiter::new();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert_eq!(limiter.check("host", at(0)), Some(0));
        assert_eq!(limiter.check("too-large", at(1)), Some(0));
        assert_eq!(limiter.check("host", at(500)), None);
        assert_eq!(limiter.check("host", at(999)), None);
        assert_eq!(limiter.check("host", at(1_000)), Some(2));
        assert_eq!(limiter.check("host", at(1_001)), None);
        assert_eq!(limiter.check("host", at(5_000)), Some(1));
        assert_eq!(limiter.check("too-large", at(5_000)), Some(0));
    }
}
