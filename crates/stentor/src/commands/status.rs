//! Reports the connection state of a stream.

use stentor_client::{Control, Event, EventSourceError, State};
use tokio::time::Instant;

use crate::output::print_message;

/// Reports lost and restored connections of one stream to stderr.
#[derive(Debug)]
pub(crate) struct StatusReporter {
    /// Name of the stream in messages.
    name: String,
    /// `true` after a loss was reported, until the stream is open again.
    is_lost: bool,
    /// `true` if the last event was the end of a topic, so that the end of the stream is expected.
    is_ended: bool,
}

impl StatusReporter {
    pub(crate) fn new(name: impl Into<String>) -> StatusReporter {
        StatusReporter { name: name.into(), is_lost: false, is_ended: false }
    }

    /// Must be called for every event of the stream.
    pub(crate) fn observe(&mut self, event: &Event) {
        self.is_ended = matches!(Control::of(event), Some(Control::End(_)));
    }

    pub(crate) fn report(&mut self, state: &State) {
        let name = &self.name;
        match state {
            State::Waiting { reason: EventSourceError::Ended, .. } if self.is_ended => {}
            State::Waiting { until, reason, .. } => {
                self.is_lost = true;
                let wait = until.saturating_duration_since(Instant::now()).as_secs_f32();
                print_message(format_args!("{name}: {reason}; retrying in {wait:.1} s"));
            }
            State::Open(_) if self.is_lost => {
                self.is_lost = false;
                print_message(format_args!("{name}: connected again"));
            }
            State::Open(_) | State::Connecting | State::Closed => {}
        }
    }
}
