//! Output of commands: data to stdout, messages to stderr.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write as _};

use anyhow::Context;
use bytesize::ByteSize;
use stentor_client::EventObject;

use crate::data_url::Image;
use crate::log_writer::LogWriter;

/// The context of an error of stdout.
pub(crate) const CANNOT_WRITE: &str = "cannot write to stdout";

/// Output format of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// One readable line: time, topic, type and data if known; line breaks are escaped.
    Pretty,
    /// One JSON object per line.
    Json,
    /// The data and a line break.
    Data,
    /// The bytes of the stream, unchanged.
    Raw,
}

impl Format {
    /// Returns the default format: `pretty` on a terminal, else `data`.
    pub(crate) fn of_stdout() -> Format {
        if io::stdout().is_terminal() { Format::Pretty } else { Format::Data }
    }
}

/// `true` if output to this stream gets colors: on a terminal, unless `NO_COLOR` is set.
pub(crate) fn use_color(to: &impl IsTerminal) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    to.is_terminal() && !no_color
}

/// Formats events for stdout.
#[derive(Debug)]
pub(crate) struct Printer {
    format: Format,
    /// `true` if events come from several topics or URLs, so that lines name their source.
    is_mixed: bool,
    has_color: bool,
    is_terminal: bool,
}

impl Printer {
    pub(crate) fn new(format: Format, is_mixed: bool) -> Printer {
        let stdout = io::stdout();
        let (has_color, is_terminal) = (use_color(&stdout), stdout.is_terminal());
        Printer { format, is_mixed, has_color, is_terminal }
    }

    /// Returns the text of an event of this source; `None` in the raw format.
    ///
    /// # Errors
    /// The event cannot be JSON.
    pub(crate) fn text(&self, event: &EventObject, source: &str) -> io::Result<Option<String>> {
        Ok(match self.format {
            Format::Raw => None,
            Format::Data => Some(format!("{}\n", event.data)),
            Format::Json => Some(serde_json::to_string(event)? + "\n"),
            Format::Pretty => Some(self.pretty(event, source)),
        })
    }

    /// `true` if the bytes of the stream are printed, instead of its events.
    pub(crate) fn is_raw(&self) -> bool {
        self.format == Format::Raw
    }

    fn pretty(&self, event: &EventObject, source: &str) -> String {
        let mut line = String::new();
        if let Some(time) = &event.time {
            self.add(&mut line, Color::Dim, time);
        }
        if self.is_mixed {
            self.add(&mut line, Color::Cyan, event.topic.as_deref().unwrap_or(source));
        }
        if event.event_type != "message" {
            self.add(&mut line, Color::Yellow, &event.event_type);
        }
        match Image::decode(&event.data).filter(|_| self.is_terminal) {
            Some(image) => line.push_str(&escaped(&summary(&image))),
            None => line.push_str(&escaped(&event.data)),
        }
        line.push('\n');
        line
    }

    fn add(&self, line: &mut String, color: Color, text: &str) {
        let text = escaped(text);
        if self.has_color {
            line.push_str(color.as_str());
            line.push_str(&text);
            line.push_str("\x1b[0m  ");
        } else {
            line.push_str(&text);
            line.push_str("  ");
        }
    }
}

/// Describes an image for a terminal, where its base64 text would fill screens.
fn summary(image: &Image) -> String {
    let size = ByteSize(image.bytes.len() as u64);
    format!("{}, {:.0}", image.media_type, size.display().iec())
}

#[derive(Clone, Copy)]
enum Color {
    Dim,
    Cyan,
    Yellow,
}

impl Color {
    fn as_str(self) -> &'static str {
        match self {
            Color::Dim => "\x1b[2m",
            Color::Cyan => "\x1b[36m",
            Color::Yellow => "\x1b[33m",
        }
    }
}

/// Writes to stdout and flushes it. Blocks while stdout takes no data.
pub(crate) fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Writes a line of data to stdout. A closed pipe is not an error.
///
/// # Errors
/// Stdout cannot be written. The error says so.
pub(crate) fn print_line(line: &str) -> anyhow::Result<()> {
    match write(format!("{line}\n").as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context(CANNOT_WRITE),
    }
}

/// `true` if a command failed only because its output pipe was closed.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes a message to stderr. Errors of stderr are ignored.
pub(crate) fn print_message(line: fmt::Arguments<'_>) {
    let line = without_library_texts(&line.to_string());
    print_to_stderr(format_args!("stentor: {}", escaped(&line)));
}

/// Writes a line to stderr: that of a server without waiting. Errors of stderr are ignored.
pub(crate) fn print_to_stderr(line: fmt::Arguments<'_>) {
    match LogWriter::get() {
        Some(log) => log.line(format!("{line}\n").into_bytes()),
        None => drop(writeln!(io::stderr(), "{line}")),
    }
}

/// Removes the texts that the standard library puts around system errors, such as ` (os error 2)`.
pub(crate) fn without_library_texts(text: &str) -> String {
    let text = text.replace("failed to lookup address information: ", "");
    let mut parts = text.split(" (os error ");
    let mut line = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|digit: char| digit.is_ascii_digit());
        line.push_str(rest.strip_prefix(')').unwrap_or(rest));
    }
    line
}

/// Returns the text as one line without control characters, so that a publisher cannot control the
/// terminal of a subscriber.
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

    fn printer() -> Printer {
        Printer { format: Format::Pretty, is_mixed: false, has_color: false, is_terminal: false }
    }

    #[test]
    fn a_terminal_shows_the_size_of_an_image() {
        let mut printer = printer();
        let url = format!("data:image/png;base64,{}", "AAAA".repeat(1 << 10));
        let event = EventObject { time: None, ..event("message", &url) };
        assert_eq!(printer.pretty(&event, "u"), format!("{url}\n"), "in a pipe");
        printer.is_terminal = true;
        assert_eq!(printer.pretty(&event, "u"), "image/png, 3 KiB\n");
    }

    #[test]
    fn a_pretty_line_shows_what_differs() {
        let mut printer = printer();
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
    fn everything_but_the_data_is_colored() {
        let printer = Printer { is_mixed: true, has_color: true, ..printer() };
        let line =
            "\x1b[2m2026-01-02T03:04:05Z\x1b[0m  \x1b[36mnews\x1b[0m  \x1b[33mtick\x1b[0m  hi\n";
        assert_eq!(printer.pretty(&event("tick", "hi"), "u"), line);
    }

    #[test]
    fn a_message_has_no_texts_of_the_standard_library() {
        let text = "cannot read x: No such file or directory (os error 2)";
        assert_eq!(without_library_texts(text), "cannot read x: No such file or directory");
        assert_eq!(without_library_texts("a (os error 13); b"), "a; b");
        let text = "cannot reach x: failed to lookup address information: Name not known";
        assert_eq!(without_library_texts(text), "cannot reach x: Name not known");
        assert_eq!(without_library_texts("plain"), "plain");
    }

    #[test]
    fn a_pretty_line_is_one_line_and_harmless() {
        assert_eq!(escaped("a\r\nb\\n\tc"), "a\\r\\nb\\\\n\tc");
        assert_eq!(escaped("\x1b[2J\u{9b}ü"), "\\u{1b}[2J\\u{9b}ü");
    }
}
