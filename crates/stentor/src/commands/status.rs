//! How a stream fares that a command reads.

use stentor_client::{Control, Event, EventSourceError, State};
use tokio::time::Instant;

use crate::output::print_message;

/// Says on stderr how a stream fares.
#[derive(Debug)]
pub(crate) struct StatusReporter {
    /// What the stream is called.
    name: String,
    /// Whether a reconnect is worth a word.
    is_lost: bool,
    /// Whether the end of a topic came last, so that the end of the stream is no surprise.
    is_ended: bool,
}

impl StatusReporter {
    pub(crate) fn new(name: impl Into<String>) -> StatusReporter {
        StatusReporter { name: name.into(), is_lost: false, is_ended: false }
    }

    /// Takes note of an event.
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
                print_message(format_args!("{name}: {reason}; trying again in {wait:.1} s"));
            }
            State::Open(_) if self.is_lost => {
                self.is_lost = false;
                print_message(format_args!("{name}: connected again"));
            }
            State::Open(_) | State::Connecting | State::Closed => {}
        }
    }
}
