//! Events whose way through the endpoint is tried out.

use super::capture::{Capture, ReceivedEvent};

/// An event to publish, and what must come of it.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) kind: Kind,
    /// What is tried out, for a report.
    pub(super) what: &'static str,
    pub(super) body: String,
    /// The data that readers must get.
    pub(super) expected: String,
    /// The text by which it is recognised. An empty body does not have it.
    mark: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    LineBreaks,
    Injection,
    Spaces,
    Empty,
    Characters,
    /// Plain text, whose arrival shows that nothing before it is still on the way.
    Closing,
}

/// All of them, in the order in which they are published. No line is without the name of this run.
pub(super) fn probes(run: &str) -> Vec<Probe> {
    let probe = |kind, what, number: u32, body: &dyn Fn(&str) -> String| {
        let mark = format!("{run}-{number}-");
        let body = body(&mark);
        let expected = body.replace("\r\n", "\n").replace('\r', "\n");
        Probe { kind, what, body, expected, mark }
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

/// Plain text with this name in it.
pub(super) fn plain(run: &str, name: &str) -> Probe {
    let mark = format!("{run}-{name}-");
    let body = format!("{mark}ok");
    Probe { kind: Kind::Closing, what: "plain text", expected: body.clone(), body, mark }
}

impl Probe {
    /// The event that came of it.
    pub(super) fn arrived<'r>(&self, capture: &'r Capture) -> Option<&'r ReceivedEvent> {
        capture.published().find(|event| self.is(event))
    }

    pub(super) fn is(&self, event: &ReceivedEvent) -> bool {
        event.data.contains(&self.mark)
    }

    /// What an [injection](Kind::Injection) tries to make an id, a type or data.
    pub(super) fn forged(&self) -> String {
        forged(&self.mark)
    }
}

fn forged(mark: &str) -> String {
    format!("{mark}forged")
}
