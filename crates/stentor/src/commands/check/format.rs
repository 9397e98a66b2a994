//! Whether the bytes are a stream of events, and not only nearly one.

use std::time::Duration;

use super::capture::{Capture, Over};
use super::finding::{Check, Finding};
use super::lines::{Line, LineEnd, lines};
use super::timing::seconds;

pub(super) const CHECKS: &[&Check] = &[&UTF_8, &FIELDS, &BLOCK_ENDS, &LINE_ENDS, &RETRY];

const UTF_8: Check = Check {
    name: "utf-8",
    title: "The text is UTF-8, with a byte order mark at its start at most",
    why: "Readers take the stream for UTF-8 whatever its headers say: other bytes become U+FFFD. A byte \
          order mark behind the start becomes part of the field's name, and the line is lost.",
    mend: "Encode as UTF-8 and write no byte order mark; take away those of files that are sent on.",
};
const FIELDS: Check = Check {
    name: "fields",
    title: "Each line is a field that readers know",
    why: "A line with any other name than data, event, id and retry is dropped without a word. Names are \
          exact: `Data`, ` data` and `data ` are others, and a second line of data needs its own `data: `.",
    mend: "Write each line of an event's data as `data: ` and the line; what is for people is a comment, \
           which begins with a colon.",
};
const BLOCK_ENDS: Check = Check {
    name: "block-ends",
    title: "A blank line ends each event",
    why: "Readers dispatch an event at the blank line behind it. Without one it is joined to the next \
          event, and the last of a stream is thrown away.",
    mend: "Write two line ends behind the last field of each event, and flush both.",
};
const LINE_ENDS: Check = Check {
    name: "line-ends",
    title: "Lines end in one way",
    why: "LF, CR and CRLF are all allowed and may be mixed, but simple parsers know one of them; a mix is \
          most often text that was passed on without being split into lines.",
    mend: "End every line with LF, and split data at CR, LF and CRLF before it is written.",
};
const RETRY: Check = Check {
    name: "retry",
    title: "The reconnection time is sensible",
    why: "`retry:` is how long readers wait before they come back. Near zero, a server that restarts is run \
          over by all of them at once; over a minute, people reload the page. Anything but digits is ignored.",
    mend: "Send `retry: 2000` or so, a little different for each reader, in milliseconds and digits only.",
};

/// Lines with this text in them are what `publishing` tries out, and are judged there.
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
        return UTF_8.fail(format!("byte {at} of the stream ({byte:#04x}) is no UTF-8"));
    }
    // The one at the very start is taken away by readers.
    let marked = lines(&capture.bytes).skip(1).find(|line| line.bytes.starts_with(MARK));
    match marked {
        Some(line) => {
            UTF_8.fail(format!("a line begins with a byte order mark: {}", line.excerpt()))
        }
        None => UTF_8.pass("all of it is"),
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
        return FIELDS.fail(format!("readers ignore the line `{}`{others}", line.excerpt()));
    }
    if whole().any(|line| line.field() == b"id" && line.value().contains(&0)) {
        return FIELDS.fail("readers ignore an id that holds NUL");
    }
    FIELDS.pass(format!("all of {} lines", whole().count()))
}

fn block_ends(capture: &Capture) -> Finding {
    /// So long nobody stops within an event whose lines are all written.
    const STANDSTILL: Duration = Duration::from_millis(500);
    let is_line_whole = matches!(capture.bytes.last(), Some(b'\n' | b'\r'));
    let last = capture.arrivals.last().map(|arrival| arrival.at);
    let stands = capture.closed.zip(last).map(|(closed, last)| closed.duration_since(last));
    let stands = stands.unwrap_or_default();
    match capture.over {
        Some(Over::Ended) if capture.is_mid_block => {
            BLOCK_ENDS.fail("the stream ended within an event, which readers throw away")
        }
        Some(Over::Left) if capture.is_mid_block && is_line_whole && stands >= STANDSTILL => {
            BLOCK_ENDS.fail(format!("no blank line follows the last field for {}", seconds(stands)))
        }
        _ if !capture.is_readable() => {
            BLOCK_ENDS.not_observable("no event came; publish with --publish-url, or watch longer")
        }
        _ => BLOCK_ENDS.pass(format!("{} events were whole", capture.events.len())),
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
            return RETRY.fail(format!("readers ignore `{}`", line.excerpt()));
        }
        let text = String::from_utf8_lossy(line.value());
        last = Some(text.parse().unwrap_or(u64::MAX));
    }
    match last {
        None => RETRY.pass("none is sent: readers wait the 3 to 5 s of their own"),
        Some(0) => RETRY.fail("0 ms: readers come back without any pause"),
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

    /// What does not pass in a stream that ended with these bytes.
    fn faults(bytes: &[u8]) -> Vec<&'static str> {
        let mut capture = Capture::new();
        capture.take(bytes);
        capture.finish(Over::Ended);
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
    fn what_was_tried_out_is_not_blamed_here() {
        assert_eq!(faults(b"data: probe a\rprobe b\n\n"), [""; 0]);
    }
}
