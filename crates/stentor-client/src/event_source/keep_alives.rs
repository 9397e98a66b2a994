//! Derives an idle timeout from the keep-alives of a stream. No clock: the caller passes the time.

use std::time::Duration;

/// Comment that a Stentor server sends at the start of a stream and as keep-alive.
const STENTOR_COMMENT: &str = "stentor";

/// Maximum time between two keep-alives of a Stentor server with its default configuration.
const STENTOR_KEEP_ALIVE_MAX: Duration = Duration::from_secs(18);

/// A comment is a keep-alive if it comes after at least this much silence. A comment at the start of a stream, such as
/// `: connected`, is none.
const SILENCE_MIN: Duration = Duration::from_secs(1);

/// Number of intervals between keep-alives after which a silent connection is dead.
const INTERVALS: u32 = 3;

/// Minimum of the automatic idle timeout.
const TIMEOUT_MIN: Duration = Duration::from_secs(30);

/// The keep-alives that were seen on the streams of one source.
///
/// Two kinds of servers exist: one sends a keep-alive after a silence, the other at fixed times. For the first, the
/// silence before a keep-alive is the interval; for the second, the time between two keep-alives. The larger of both is
/// right for each.
#[derive(Debug, Default)]
pub(crate) struct KeepAlives {
    /// Time of the last bytes of this stream.
    last_bytes: Option<Duration>,
    /// Time of the last keep-alive of this stream.
    last_keep_alive: Option<Duration>,
    /// Longest silence that ended with a keep-alive.
    silence_max: Duration,
    /// Shortest time between two keep-alives of one stream. `None` until two were seen.
    interval_min: Option<Duration>,
    is_stentor: bool,
    /// The last timeout that elapsed, until keep-alives are seen again: if it was too short, the next one is longer.
    elapsed: Duration,
}

impl KeepAlives {
    pub(crate) fn opened(&mut self, now: Duration) {
        self.last_bytes = Some(now);
        self.last_keep_alive = None;
    }

    pub(crate) fn received(&mut self, comment: Option<&str>, now: Duration) {
        let silence = self.last_bytes.replace(now).map(|last| now.saturating_sub(last));
        let Some(comment) = comment else { return };
        self.is_stentor |= comment == STENTOR_COMMENT;
        let Some(silence) = silence.filter(|silence| *silence >= SILENCE_MIN) else { return };
        self.silence_max = self.silence_max.max(silence);
        if let Some(last) = self.last_keep_alive.replace(now) {
            let interval = now.saturating_sub(last);
            self.interval_min = Some(self.interval_min.map_or(interval, |min| min.min(interval)));
            self.elapsed = Duration::ZERO;
        }
    }

    /// Reports that the [`idle_timeout`](Self::idle_timeout) elapsed.
    pub(crate) fn timed_out(&mut self, timeout: Duration) {
        self.elapsed = timeout;
    }

    /// Returns the time of silence after which the connection is dead. `None` for a server that was not seen to send
    /// keep-alives: its silence means nothing.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        let assumed = self.is_stentor.then_some(STENTOR_KEEP_ALIVE_MAX);
        let interval = self.interval_min.or(assumed)?.max(self.silence_max).max(self.elapsed);
        Some(interval.saturating_mul(INTERVALS).max(TIMEOUT_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The timeout after a stream that opens at 0 s and has these items.
    fn timeout_after(items: &[(u64, Option<&str>)]) -> Option<Duration> {
        let mut keep_alives = KeepAlives::default();
        keep_alives.opened(Duration::ZERO);
        for (at, comment) in items {
            keep_alives.received(*comment, seconds(*at));
        }
        keep_alives.idle_timeout()
    }

    #[test]
    fn two_keep_alives_show_the_interval() {
        assert_eq!(timeout_after(&[(15, Some("")), (30, Some(""))]), Some(seconds(45)));
        assert_eq!(timeout_after(&[(2, Some("")), (4, Some(""))]), Some(TIMEOUT_MIN));
        // The first silence was longer than the interval.
        assert_eq!(timeout_after(&[(40, Some("")), (55, Some(""))]), Some(seconds(120)));
    }

    #[test]
    fn keep_alives_at_fixed_times_are_not_taken_for_frequent_ones() {
        // An event just before each keep-alive.
        let items = [(58, None), (60, Some("")), (118, None), (120, Some(""))];
        assert_eq!(timeout_after(&items), Some(seconds(180)));
    }

    #[test]
    fn a_stream_without_keep_alives_has_no_timeout() {
        for items in [
            [].as_slice(),
            &[(0, Some("connected")), (0, Some("ready")), (900, None)],
            &[(9, None), (99, None)],
            &[(0, Some("hi")), (20, Some("once"))],
        ] {
            assert_eq!(timeout_after(items), None, "{items:?}");
        }
    }

    #[test]
    fn the_comment_of_a_stentor_server_is_enough() {
        assert_eq!(timeout_after(&[(0, Some("stentor"))]), Some(seconds(54)));
        let slow = [(0, Some("stentor")), (60, Some("stentor")), (120, Some("stentor"))];
        assert_eq!(timeout_after(&slow), Some(seconds(180)), "it is configured otherwise");
    }

    #[test]
    fn a_timeout_that_was_too_short_grows_until_keep_alives_are_seen() {
        let mut keep_alives = KeepAlives::default();
        keep_alives.opened(Duration::ZERO);
        keep_alives.received(Some("stentor"), Duration::ZERO);
        keep_alives.timed_out(seconds(54));
        assert_eq!(keep_alives.idle_timeout(), Some(seconds(162)));
        keep_alives.opened(seconds(60));
        keep_alives.received(Some("stentor"), seconds(60));
        assert_eq!(
            keep_alives.idle_timeout(),
            Some(seconds(162)),
            "the greeting shows no interval"
        );
        keep_alives.received(Some("stentor"), seconds(75));
        keep_alives.received(Some("stentor"), seconds(90));
        assert_eq!(keep_alives.idle_timeout(), Some(seconds(45)));
    }
}
