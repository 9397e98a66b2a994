//! Checks of the stream format.

use std::time::Duration;

use super::capture::{Capture, EndReason};
use super::finding::{Check, Finding};
use super::lines::{Line, LineEnd, lines};
use super::timing::seconds;

pub(super) const CHECKS: &[&Check] = &[&UTF_8, &FIELDS, &BLOCK_ENDS, &LINE_ENDS, &RETRY];

const UTF_8: Check = Check {
    name: "utf-8",
    title: "The text is UTF-8, with a byte order mark only at the start",
    why: "Subscribers decode the stream as UTF-8, whatever its headers say: other bytes become U+FFFD. A \
          byte order mark after the start becomes part of a field name, and the line is lost.",
    fix: "Encode as UTF-8 without byte order marks; remove them from files that you forward.",
};
const FIELDS: Check = Check {
    name: "fields",
    title: "Each line is a field that subscribers know",
    why: "A line with a name other than data, event, id and retry is silently ignored. Names are exact: \
          `Data`, ` data` and `data ` are unknown, and a second line of data needs its own `data: `.",
    fix: "Write each line of an event's data as `data: ` and the line. Write notes for people as \
          comments, which begin with a colon.",
};
const BLOCK_ENDS: Check = Check {
    name: "block-ends",
    title: "A blank line ends each event",
    why: "Subscribers dispatch an event at the blank line after it. Without it the event is joined to the \
          next one, and the last event of a stream is discarded.",
    fix: "Write two line ends after the last field of each event, and flush both.",
};
const LINE_ENDS: Check = Check {
    name: "line-ends",
    title: "All lines end the same way",
    why: "LF, CR and CRLF are all allowed and may be mixed, but simple parsers know only one. A mix is \
          usually text that was forwarded without being split into lines.",
    fix: "End every line with LF, and split data at CR, LF and CRLF before writing it.",
};
const RETRY: Check = Check {
    name: "retry",
    title: "The reconnection time is sensible",
    why: "`retry:` is the time that subscribers wait before they reconnect. Near zero, all of them \
          reconnect at once when a server restarts. Over a minute, people reload the page. A value that \
          is not all digits is ignored.",
    fix: "Send `retry: 2000` or similar, in milliseconds and digits only, slightly different for each \
          subscriber.",
};

/// Skips lines that contain `probe`: they are test data, which `publishing` evaluates.
pub(super) fn judge(capture: &Capture, probe: &str) -> Vec<Finding> {
    if capture.bytes.is_empty() {
        let reason = "the stream sent nothing";
        return CHECKS.iter().map(|check| check.not_observable(reason)).collect();
    }
    let is_probe = |line: &Line<'_>| memchr::memmem::find(line.bytes, probe.as_bytes()).is_some();
    let lines: Vec<_> = lines(&capture.bytes).filter(|line| !is_probe(line)).collect();
    vec![utf_8(capture), fields(&lines), block_ends(capture), line_ends(&lines), retry(&lines)]
}

fn utf_8(capture: &Capture) -> Finding {
    const MARK: &[u8] = "\u{FEFF}".as_bytes();
    if let Err(error) = std::str::from_utf8(&capture.bytes)
        && error.error_len().is_some()
    {
        let at = error.valid_up_to();
        let byte = capture.bytes.get(at).copied().unwrap_or_default();
        return UTF_8.fail(format!("byte {at} of the stream ({byte:#04x}) is not UTF-8"));
    }
    // Subscribers remove a mark at the very start.
    let marked = lines(&capture.bytes).skip(1).find(|line| line.bytes.starts_with(MARK));
    match marked {
        Some(line) => {
            UTF_8.fail(format!("a line begins with a byte order mark: {}", line.excerpt()))
        }
        None => UTF_8.pass("all bytes are valid"),
    }
}

fn fields(lines: &[Line<'_>]) -> Finding {
    let is_known = |line: &&Line<'_>| {
        let name = line.field();
        let name = name.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(name);
        matches!(name, b"" | b"data" | b"event" | b"id" | b"retry")
    };
    let whole = || lines.iter().filter(|line| line.end.is_some());
    let mut unknown = whole().filter(|line| !is_known(line));
    if let Some(line) = unknown.next() {
        let others = match unknown.count() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        return FIELDS.fail(format!("subscribers ignore the line `{}`{others}", line.excerpt()));
    }
    if whole().any(|line| line.field() == b"id" && line.value().contains(&0)) {
        return FIELDS.fail("subscribers ignore an id that contains NUL");
    }
    FIELDS.pass(format!("all {} lines", whole().count()))
}

fn block_ends(capture: &Capture) -> Finding {
    /// Minimum pause after a whole line within an event that shows a missing blank line.
    const STANDSTILL: Duration = Duration::from_millis(500);
    let is_line_whole = matches!(capture.bytes.last(), Some(b'\n' | b'\r'));
    let last = capture.arrivals.last().map(|arrival| arrival.at);
    let silence = capture.closed.zip(last).map(|(closed, last)| closed.duration_since(last));
    let silence = silence.unwrap_or_default();
    match capture.over {
        Some(EndReason::Ended) if capture.is_mid_block => {
            BLOCK_ENDS.fail("the stream ended within an event, which subscribers discard")
        }
        Some(EndReason::Stopped)
            if capture.is_mid_block && is_line_whole && silence >= STANDSTILL =>
        {
            BLOCK_ENDS
                .fail(format!("no blank line follows the last field for {}", seconds(silence)))
        }
        _ if !capture.is_readable() => BLOCK_ENDS
            .not_observable("no event arrived; publish with --publish-url, or watch longer"),
        // Includes control events, which the other checks do not count.
        _ => match capture.events.len() {
            1 => BLOCK_ENDS.pass("1 block of the stream, complete"),
            count => BLOCK_ENDS.pass(format!("{count} blocks of the stream, all complete")),
        },
    }
}

fn line_ends(lines: &[Line<'_>]) -> Finding {
    let kinds = [(LineEnd::Lf, "LF"), (LineEnd::CrLf, "CRLF"), (LineEnd::Cr, "CR")];
    let used = kinds.into_iter().filter_map(|(kind, name)| {
        let count = lines.iter().filter(|line| line.end == Some(kind)).count();
        (count > 0).then_some((count, name))
    });
    let used: Vec<_> = used.collect();
    match used.as_slice() {
        [] => LINE_ENDS.not_observable("no line ended"),
        [(_, name)] => LINE_ENDS.pass(format!("all with {name}")),
        [..] => {
            let counts: Vec<_> =
                used.iter().map(|(count, name)| format!("{count} with {name}")).collect();
            LINE_ENDS.warn(format!("{} lines end {}", lines.len(), counts.join(", ")))
        }
    }
}

fn retry(lines: &[Line<'_>]) -> Finding {
    const LEAST_MS: u64 = 500;
    const MOST_MS: u64 = 60_000;
    let values = lines.iter().filter(|line| line.end.is_some() && line.field() == b"retry");
    let mut last = None;
    for line in values {
        let is_number = !line.value().is_empty() && line.value().iter().all(u8::is_ascii_digit);
        if !is_number {
            return RETRY.fail(format!("subscribers ignore `{}`", line.excerpt()));
        }
        let text = String::from_utf8_lossy(line.value());
        last = Some(text.parse().unwrap_or(u64::MAX));
    }
    match last {
        None => RETRY.pass("none; browsers then wait 3 to 5 s"),
        Some(0) => RETRY.fail("0 ms: subscribers reconnect without a pause"),
        Some(millis) if !(LEAST_MS..=MOST_MS).contains(&millis) => {
            RETRY.warn(format!("{millis} ms"))
        }
        Some(millis) => RETRY.pass(format!("{millis} ms")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Outcome;
    use super::*;

    /// Returns the checks that do not pass for a stream that ended with these bytes.
    fn faults(bytes: &[u8]) -> Vec<&'static str> {
        let mut capture = Capture::new();
        capture.take(bytes);
        capture.finish(EndReason::Ended);
        let findings = judge(&capture, "probe");
        let faults = findings.iter().filter(|finding| finding.outcome != Outcome::Pass);
        faults.map(|finding| finding.check.name).collect()
    }

    #[test]
    fn a_good_stream_has_no_faults() {
        let good = "\u{FEFF}retry: 2000\n: ok\n\nid: 1\nevent: x\ndata: ü\ndata\ndata:\u{FEFF}\n\n";
        assert_eq!(faults(good.as_bytes()), [""; 0]);
        assert_eq!(faults(b"data: x\r\n\r\n"), [""; 0]);
    }

    #[test]
    fn each_fault_is_found_alone() {
        let table: [(&[u8], &str); 12] = [
            (b"data: gr\xFCn\n\n", "utf-8"),
            ("data: x\n\n\u{FEFF}: y\n\n".as_bytes(), "utf-8"),
            (b"Data: x\n\n:\n", "fields"),
            (b"data: x\nsecond line\n\n", "fields"),
            (b"data : x\n\n:\n", "fields"),
            (b"id: a\0b\ndata: x\n\n", "fields"),
            (b"data: x\n\ndata: y\n", "block-ends"),
            (b"data: x\n\ndata: y", "block-ends"),
            (b"data: x\r\n\n", "line-ends"),
            (b"retry: 5s\n: x\n\n", "retry"),
            (b"retry: 0\n: x\n\n", "retry"),
            (b"retry: 86400000\n: x\n\n", "retry"),
        ];
        for (bytes, fault) in table {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(faults(bytes), [fault], "{text:?}");
        }
    }

    #[test]
    fn test_data_is_skipped() {
        assert_eq!(faults(b"data: probe a\rprobe b\n\n"), [""; 0]);
    }
}
