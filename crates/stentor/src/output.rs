//! What commands write: data to stdout, talk to stderr.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write as _};

use stentor_client::EventObject;

/// How an event is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line to read: time, topic, type and data as far as they are known, line breaks escaped.
    Pretty,
    /// The event as a JSON object, one per line.
    Json,
    /// The data as it is, and a line break.
    Data,
    /// The bytes of the stream as they come.
    Raw,
}

impl Format {
    /// For people on a terminal, else for programs.
    pub(crate) fn of_stdout() -> Format {
        if io::stdout().is_terminal() { Format::Pretty } else { Format::Data }
    }
}

/// Whether what goes there has colours: on a terminal, unless `NO_COLOR` says otherwise.
pub(crate) fn use_color(to: &impl IsTerminal) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    to.is_terminal() && !no_color
}

/// Writes events to stdout, each at once.
#[derive(Debug)]
pub(crate) struct Printer {
    format: Format,
    /// Whether events of several topics or addresses are to be told apart.
    is_mixed: bool,
    is_painted: bool,
}

impl Printer {
    pub(crate) fn new(format: Format, is_mixed: bool) -> Printer {
        Printer { format, is_mixed, is_painted: use_color(&io::stdout()) }
    }

    /// Writes an event that came from this source, in any format but raw.
    pub(crate) fn event(&self, event: &EventObject, source: &str) -> io::Result<()> {
        let line = match self.format {
            Format::Raw => return Ok(()),
            Format::Data => format!("{}\n", event.data),
            Format::Json => serde_json::to_string(event)? + "\n",
            Format::Pretty => self.pretty(event, source),
        };
        write(line.as_bytes())
    }

    /// Writes bytes of the stream, in the raw format only.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        if self.format == Format::Raw { write(bytes) } else { Ok(()) }
    }

    fn pretty(&self, event: &EventObject, source: &str) -> String {
        let mut line = String::new();
        if let Some(time) = &event.time {
            self.add(&mut line, Paint::Dim, time);
        }
        if self.is_mixed {
            self.add(&mut line, Paint::Cyan, event.topic.as_deref().unwrap_or(source));
        }
        if event.event_type != "message" {
            self.add(&mut line, Paint::Yellow, &event.event_type);
        }
        line.push_str(&escaped(&event.data));
        line.push('\n');
        line
    }

    fn add(&self, line: &mut String, paint: Paint, text: &str) {
        let text = escaped(text);
        if self.is_painted {
            line.push_str(paint.as_str());
            line.push_str(&text);
            line.push_str("\x1b[0m  ");
        } else {
            line.push_str(&text);
            line.push_str("  ");
        }
    }
}

#[derive(Clone, Copy)]
enum Paint {
    Dim,
    Cyan,
    Yellow,
}

impl Paint {
    fn as_str(self) -> &'static str {
        match self {
            Paint::Dim => "\x1b[2m",
            Paint::Cyan => "\x1b[36m",
            Paint::Yellow => "\x1b[33m",
        }
    }
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// A line to stdout that is the result of a command. That nobody reads it is no error.
pub(crate) fn print_line(line: &str) -> io::Result<()> {
    match write(format!("{line}\n").as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Whether a command fails only because nobody reads its output.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A line to stderr, beside the data. That nobody reads it is no error.
pub(crate) fn print_message(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "stentor: {}", escaped(&line.to_string()));
}

/// The text as one line that does nothing to a terminal: a publisher must not be able to move the
/// reader's cursor.
pub(crate) fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\\' => line.push_str("\\\\"),
            '\t' => line.push('\t'),
            control if control.is_control() => {
                let _ = write!(line, "\\u{{{:x}}}", u32::from(control));
            }
            other => line.push(other),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event_type: &str, data: &str) -> EventObject {
        EventObject {
            id: Some("c1".to_owned()),
            topic: Some("news".to_owned()),
            event_type: event_type.to_owned(),
            time: Some("2026-01-02T03:04:05Z".to_owned()),
            data: data.to_owned(),
            retry: None,
        }
    }

    #[test]
    fn a_pretty_line_shows_what_differs() {
        let mut printer = Printer { format: Format::Pretty, is_mixed: false, is_painted: false };
        assert_eq!(printer.pretty(&event("message", "hi"), "u"), "2026-01-02T03:04:05Z  hi\n");
        printer.is_mixed = true;
        assert_eq!(
            printer.pretty(&event("tick", "hi"), "u"),
            "2026-01-02T03:04:05Z  news  tick  hi\n"
        );
        let plain = EventObject { topic: None, time: None, ..event("message", "hi") };
        assert_eq!(printer.pretty(&plain, "http://h/s"), "http://h/s  hi\n");
    }

    #[test]
    fn colours_are_around_what_is_beside_the_data() {
        let printer = Printer { format: Format::Pretty, is_mixed: true, is_painted: true };
        let line =
            "\x1b[2m2026-01-02T03:04:05Z\x1b[0m  \x1b[36mnews\x1b[0m  \x1b[33mtick\x1b[0m  hi\n";
        assert_eq!(printer.pretty(&event("tick", "hi"), "u"), line);
    }

    #[test]
    fn a_pretty_line_is_one_line_and_harmless() {
        assert_eq!(escaped("a\r\nb\\n\tc"), "a\\r\\nb\\\\n\tc");
        assert_eq!(escaped("\x1b[2J\u{9b}ü"), "\\u{1b}[2J\\u{9b}ü");
    }
}
