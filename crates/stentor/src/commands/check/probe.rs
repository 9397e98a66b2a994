//! Test events that are published to the endpoint.

use super::capture::{Capture, ReceivedEvent};

/// An event to publish, and its expected form.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) kind: Kind,
    /// Name of the test case in a report.
    pub(super) label: &'static str,
    pub(super) body: String,
    /// The data that subscribers must receive.
    pub(super) expected: String,
    /// The text that identifies the event. An empty body does not contain it.
    mark: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    LineBreaks,
    Injection,
    Spaces,
    Empty,
    Characters,
    /// Plain text; once it has arrived, everything before it has arrived too.
    Closing,
}

/// Returns all probes in publishing order. Each line contains the name of this run.
pub(super) fn probes(run: &str) -> Vec<Probe> {
    let probe = |kind, label, number: u32, body: &dyn Fn(&str) -> String| {
        let mark = format!("{run}-{number}-");
        let body = body(&mark);
        let expected = body.replace("\r\n", "\n").replace('\r', "\n");
        Probe { kind, label, body, expected, mark }
    };
    let lines = |end: &'static str| move |mark: &str| format!("{mark}a{end}{mark}b");
    let forged = |end: &'static str| {
        move |mark: &str| {
            let forged = forged(mark);
            format!("{mark}a{end}id: {forged}{end}event: {forged}{end}data: {forged}")
        }
    };
    vec![
        probe(Kind::LineBreaks, "LF", 1, &lines("\n")),
        probe(Kind::LineBreaks, "CR", 2, &lines("\r")),
        probe(Kind::LineBreaks, "CRLF", 3, &lines("\r\n")),
        probe(Kind::LineBreaks, "a line break at the end", 4, &|mark| format!("{mark}a\n")),
        probe(Kind::Injection, "LF", 5, &forged("\n")),
        probe(Kind::Injection, "CR", 6, &forged("\r")),
        probe(Kind::Injection, "CRLF", 7, &forged("\r\n")),
        probe(Kind::Spaces, "two spaces at the start", 8, &|mark| format!("  {mark}a")),
        probe(Kind::Spaces, "a space at the end", 9, &|mark| format!("{mark}a ")),
        probe(Kind::Empty, "an event without data", 10, &|_| String::new()),
        probe(Kind::Characters, "text that looks like a field", 11, &|mark| {
            format!("data: {mark}a")
        }),
        probe(Kind::Characters, "text that looks like a comment", 12, &|mark| format!(": {mark}a")),
        probe(Kind::Characters, "letters of all lengths", 13, &|mark| {
            format!("{mark}grün \u{20AC} \u{1F4EF} \u{2028} \u{FEFF}")
        }),
        probe(Kind::Characters, "NUL", 14, &|mark| format!("{mark}a\0b")),
        plain(run, "last"),
    ]
}

/// Returns plain text that contains this name.
pub(super) fn plain(run: &str, name: &str) -> Probe {
    let mark = format!("{run}-{name}-");
    let body = format!("{mark}ok");
    Probe { kind: Kind::Closing, label: "plain text", expected: body.clone(), body, mark }
}

impl Probe {
    /// Returns the event that it became.
    pub(super) fn arrived<'r>(&self, capture: &'r Capture) -> Option<&'r ReceivedEvent> {
        capture.published().find(|event| self.is(event))
    }

    pub(super) fn is(&self, event: &ReceivedEvent) -> bool {
        event.data.contains(&self.mark)
    }

    /// Returns the text that an [injection](Kind::Injection) tries to turn into an id, a type or data.
    pub(super) fn forged(&self) -> String {
        forged(&self.mark)
    }
}

fn forged(mark: &str) -> String {
    format!("{mark}forged")
}
