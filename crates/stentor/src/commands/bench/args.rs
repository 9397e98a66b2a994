//! What `stentor bench` is told.

use std::path::PathBuf;
use std::time::Duration;

use crate::duration;

#[derive(Debug, clap::Args)]
#[command(after_help = EXIT_CODES, after_long_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    /// The server, or a stream; `{topic}` stands for the number of the topic.
    #[arg(long, env = "STENTOR_URL", default_value = "http://localhost:8080")]
    pub(super) url: String,

    /// Where events are posted; `{topic}` stands for the number of the topic.
    #[arg(long, value_name = "URL")]
    pub(super) publish: Option<String>,

    /// A header of all requests, such as 'Authorization: Bearer …'. Repeatable.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    pub(super) header: Vec<String>,

    /// Send this bearer token. Without the option it is taken from the environment variable
    /// `STENTOR_TOKEN`, but only for a server of ours.
    #[arg(long, value_name = "TOKEN")]
    pub(super) token: Option<String>,

    /// Trust the certificates in this PEM file, beside those that the system trusts.
    #[arg(long, value_name = "FILE")]
    pub(super) root_certificate: Option<PathBuf>,

    /// How many readers; with 0 it only publishes.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100, help_heading = READERS)]
    pub(super) subscribers: u32,

    /// Over how many topics readers and events are spread.
    #[arg(long, value_name = "T", default_value_t = 1, help_heading = READERS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) topics: u32,

    /// So many of the readers hardly read: 1 KiB a second. They are not waited for and not judged.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = READERS)]
    pub(super) slow: u32,

    /// Connect so many readers in a second, instead of as many as the server takes.
    #[arg(long, value_name = "R", help_heading = READERS, value_parser = positive)]
    pub(super) ramp: Option<f64>,

    /// So many connects wait for their answer at once.
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = READERS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) connecting: u32,

    /// This share of the readers drops its connection again and again, and comes back at once by
    /// `Last-Event-ID`: `100%` for all.
    #[arg(long, value_name = "SHARE", help_heading = READERS, value_parser = share)]
    pub(super) storm: Option<f64>,

    /// How long after a storm the next one comes.
    #[arg(long, value_name = "TIME", default_value = "2s", help_heading = READERS)]
    #[arg(value_parser = duration::parse_arg, requires = "storm")]
    pub(super) storm_every: Duration,

    /// Instead of publishing, make so many more connections beside the readers, each closed as soon as
    /// its head has come; --connecting of them at once.
    #[arg(long, value_name = "N", help_heading = READERS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(conflicts_with_all = ["events", "rate", "window", "storm"])]
    pub(super) churn: Option<u32>,

    /// Leave the readers alone for so long when all are connected, before memory is looked at.
    #[arg(long, value_name = "TIME", default_value = "0s", help_heading = READERS)]
    #[arg(value_parser = duration::parse_arg)]
    pub(super) settle: Duration,

    /// A header of the readers' requests only. Repeatable.
    #[arg(long, value_name = "NAME: VALUE", help_heading = READERS, value_parser = header)]
    pub(super) subscribe_header: Vec<String>,

    /// Readers POST this body instead of a GET; `{topic}` is filled in.
    #[arg(long, value_name = "TEXT", help_heading = READERS)]
    pub(super) subscribe_body: Option<String>,

    /// So many events a second in all, however the server does. 100, unless there is a window.
    #[arg(long, short = 'r', value_name = "R", help_heading = EVENTS, value_parser = positive)]
    pub(super) rate: Option<f64>,

    /// As many events as the server takes, with at most the deliveries of so many under way.
    #[arg(long, short = 'w', value_name = "N", conflicts_with = "rate", help_heading = EVENTS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) window: Option<u32>,

    /// Publish so many events, and stop. With 0 only connects and memory are measured.
    #[arg(long, value_name = "N", help_heading = EVENTS)]
    pub(super) events: Option<u32>,

    /// Publish, or listen, for so long. 10s, or 1m when the events or connections are counted.
    #[arg(long = "for", value_name = "TIME", help_heading = EVENTS, value_parser = duration::parse_arg)]
    pub(super) span: Option<Duration>,

    /// Publish before, for so long, without measuring.
    #[arg(long, value_name = "TIME", default_value = "1s", help_heading = EVENTS)]
    #[arg(value_parser = duration::parse_arg)]
    pub(super) warm_up: Duration,

    /// Bytes of an event's body.
    #[arg(long, value_name = "BYTES", default_value_t = 200, help_heading = EVENTS)]
    pub(super) size: u32,

    /// The body: `{mark}` and `{topic}` are filled in, `{pad}` brings it to its size.
    #[arg(long, value_name = "TEXT", default_value = "{mark}{pad}", help_heading = EVENTS)]
    pub(super) body: String,

    /// The type of the body.
    #[arg(long, value_name = "TYPE", default_value = "text/plain", help_heading = EVENTS)]
    pub(super) content_type: String,

    /// A header of the publishing requests only. Repeatable.
    #[arg(long, value_name = "NAME: VALUE", help_heading = EVENTS, value_parser = header)]
    pub(super) publish_header: Vec<String>,

    /// At most so many connections publish, each with one request under way; they are opened as needed.
    #[arg(long, value_name = "N", default_value_t = 16, help_heading = EVENTS)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) publishers: u16,

    /// An event that has not come after so long without any other is lost.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration::parse_arg)]
    pub(super) patience: Duration,

    /// All of it ends after so long, connecting and waiting included. Four times --for and a minute,
    /// unless told otherwise.
    #[arg(long, value_name = "TIME", value_parser = duration::parse_arg)]
    pub(super) limit: Option<Duration>,

    /// Look for what has come without ever sleeping. It takes a whole core, and spares the server the
    /// work of waking it.
    #[arg(long)]
    pub(super) spin: bool,

    /// The server's process: its processor time and memory are told, with those of its descendants.
    #[arg(long)]
    pub(super) pid: Option<u32>,

    /// Print the result as JSON.
    #[arg(long, help_heading = RESULT)]
    pub(super) json: bool,

    /// Write the result to a page with plots.
    #[arg(long, value_name = "FILE", help_heading = RESULT)]
    pub(super) html: Option<PathBuf>,
}

const READERS: &str = "Readers";
const EVENTS: &str = "Events";
const RESULT: &str = "Result";

const EXIT_CODES: &str = "\
Exit codes: 0 measured, and nothing was lost, doubled or out of order; 1 could not measure; 2 wrong \
arguments; 3 measured, and something was lost, doubled or out of order.";

const EXAMPLES: &str = "\
Exit codes:
  0  measured, and nothing was lost, doubled or out of order
  1  could not measure
  2  wrong arguments
  3  measured, and something was lost, doubled or out of order

Examples:
  stentor bench --url http://localhost:8080 --subscribers 1000 --rate 100 --for 10s
  stentor bench --subscribers 5000 --window 16 --pid $(pidof stentor) --html report.html
  stentor bench --topics 10 --url http://localhost/sub/t{topic} \\
    --publish http://localhost/pub/t{topic}
  stentor bench --url 'http://localhost/.well-known/mercure?topic=t{topic}' \\
    --publish http://localhost/.well-known/mercure --header 'Authorization: Bearer …' \\
    --content-type application/x-www-form-urlencoded --body 'topic=t{topic}&data={mark}{pad}'";

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "it is no number above 0".to_owned())
}

/// `50%`, or `0.5`.
fn share(text: &str) -> Result<f64, String> {
    let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
    let share = positive(number)? / whole;
    if share <= 1.0 { Ok(share) } else { Err("it is beyond 100%".to_owned()) }
}

/// A header that cannot break out of its line.
pub(super) fn header(text: &str) -> Result<String, String> {
    let (name, value) = text.split_once(':').ok_or("write it as 'Name: value'")?;
    http::HeaderName::try_from(name).map_err(|_| format!("{name:?} is no name of a header"))?;
    let value = value.trim();
    if !value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..)) {
        return Err("a header's value is one line without control characters".to_owned());
    }
    Ok(format!("{name}: {value}\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_in_percent_or_as_a_part() {
        assert_eq!((share("25%"), share("1"), share("0.25")), (Ok(0.25), Ok(1.0), Ok(0.25)));
        for text in ["101%", "2", "0", "-1", "nan", "inf", "%", ""] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_header_cannot_break_out_of_its_line() {
        assert_eq!(header("X-A:b c ").as_deref(), Ok("X-A: b c\r\n"));
        for text in ["X", "X Y: z", "X: a\r\nY: b", "X: \u{7f}", ": x"] {
            assert!(header(text).is_err(), "{text:?}");
        }
    }
}
