//! Reports the connection state of a stream.

use std::future::pending;
use std::time::Duration;

use stentor_client::{Control, Event, EventSourceError, State};
use tokio::time::{Instant, sleep_until};

use super::connection::{cannot_reach, origin};
use crate::output::print_message;

/// Time without an event after which the first connection is reported. A stream that starts with stored
/// events shows by them that it is connected.
const SILENCE: Duration = Duration::from_secs(1);

/// Reports lost and restored connections of one stream to stderr.
#[derive(Debug)]
pub(crate) struct StatusReporter {
    /// Name of the stream in messages.
    name: String,
    /// URL of the stream's server, for messages.
    server: String,
    /// `true` until the first connection, if it is to be reported.
    is_verbose: bool,
    /// Time to report the first connection, unless an event arrives before.
    report_at: Option<Instant>,
    /// `true` after a loss was reported, until the stream is open again.
    is_lost: bool,
    /// `true` if the last event was the end of a topic, so that the end of the stream is expected.
    is_ended: bool,
}

impl StatusReporter {
    /// Creates the reporter of the stream at this URL. `name` is the stream's name in messages.
    pub(crate) fn new(name: impl Into<String>, url: &str) -> StatusReporter {
        StatusReporter {
            name: name.into(),
            server: origin(url).unwrap_or_else(|| url.to_owned()),
            is_verbose: false,
            report_at: None,
            is_lost: false,
            is_ended: false,
        }
    }

    /// Reports the first connection too, if no event follows within [`SILENCE`].
    pub(crate) fn verbose(self, is_verbose: bool) -> StatusReporter {
        StatusReporter { is_verbose, ..self }
    }

    /// Must be called for every event of the stream.
    pub(crate) fn observe(&mut self, event: &Event) {
        self.report_at = None;
        self.is_ended = matches!(Control::of(event), Some(Control::End(_)));
    }

    pub(crate) fn report(&mut self, state: &State) {
        let name = &self.name;
        match state {
            State::Waiting { reason: EventSourceError::Ended, .. } if self.is_ended => {}
            State::Waiting { until, reason, .. } => {
                self.report_at = None;
                self.is_lost = true;
                let wait = until.saturating_duration_since(Instant::now()).as_secs_f32();
                let reason = self.explain(reason);
                print_message(format_args!("{name}: {reason}; retrying in {wait:.1} s"));
            }
            State::Open(_) if self.is_lost => {
                self.is_lost = false;
                print_message(format_args!("{name}: connected again"));
            }
            State::Open(_) if self.is_verbose => {
                self.is_verbose = false;
                self.report_at = Some(Instant::now() + SILENCE);
            }
            State::Open(_) | State::Connecting | State::Closed => {}
        }
    }
    /// Waits until the first connection has been silent for [`SILENCE`], and reports it once. Then, and
    /// without a connection to report, it waits indefinitely. Cancel safe.
    pub(crate) async fn report_silence(&mut self) {
        let Some(at) = self.report_at else { return pending().await };
        sleep_until(at).await;
        self.report_at = None;
        let (name, server) = (&self.name, &self.server);
        print_message(format_args!("{name}: connected to {server}; waiting for events"));
    }

    fn explain(&self, reason: &EventSourceError) -> String {
        match reason {
            EventSourceError::Unreachable { cause } => cannot_reach(&self.server, cause),
            // The text of the HTTP library for a connection that was closed within a response.
            EventSourceError::Broken { cause } if cause.contains("unexpected EOF") => {
                "the server closed the connection".to_owned()
            }
            reason => reason.to_string(),
        }
    }
}
