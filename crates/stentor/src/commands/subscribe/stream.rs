//! One stream of a subscription.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};
use stentor_client::cursor::Committer;
use stentor_client::{
    Chunk, Control, Event, EventObject, EventSource, EventSourceBuilder, EventSourceError, Item,
    State,
};
use tokio::sync::watch;
use tokio::time::timeout;

use super::failure::{Code, Failure, OrFail};
use super::open_topics::{EndProgress, OpenTopics};
use super::target::{Kind, Target};
use crate::commands::connection::certificate_advice;
use crate::commands::status::StatusReporter;
use crate::output::print_message;

/// Time to wait for further topics of a pattern after all known topics have ended.
const QUIET: Duration = Duration::from_secs(1);

/// The stream of a target.
pub(super) struct TargetStream {
    name: Arc<str>,
    source: EventSource,
    states: watch::Receiver<State>,
    is_enveloped: bool,
    end: End,
    reporter: StatusReporter,
}

/// The condition, besides a 204, that ends a stream.
enum End {
    Never,
    /// All topics have ended.
    OfTopics(OpenTopics),
    /// The server closes the connection.
    OfConnection,
}

/// A chunk of a stream.
pub(super) struct Received {
    /// Name of the stream in messages.
    pub(super) name: Arc<str>,
    pub(super) bytes: Vec<u8>,
    pub(super) content: Content,
    /// Position of the stream once this chunk has been handled.
    pub(super) last_event_id: String,
}

/// The meaning of a chunk.
pub(super) enum Content {
    Event(EventObject),
    /// Events were lost, with the message for the user.
    Gap(String),
    /// No event and no gap.
    Other,
}

impl TargetStream {
    /// Starts the stream. `until_end` also ends streams that have no certain end. `is_verbose` reports the
    /// first connection.
    ///
    /// # Errors
    /// The request is not valid.
    pub(super) fn open(
        target: Target,
        request: EventSourceBuilder,
        until_end: bool,
        is_verbose: bool,
    ) -> Result<TargetStream, Failure> {
        let source = request.build().or_fail(Code::Usage)?;
        let states = source.states();
        let reporter = StatusReporter::new(&target.name, &target.url).verbose(is_verbose);
        let end = match target.kind {
            Kind::Topics { names, has_patterns: false } => End::OfTopics(OpenTopics::named(names)),
            Kind::Topics { names, .. } if until_end => End::OfTopics(OpenTopics::seen(names)),
            Kind::Url if until_end => End::OfConnection,
            Kind::Topics { .. } | Kind::Url => End::Never,
        };
        Ok(TargetStream {
            name: target.name.into(),
            source,
            states,
            is_enveloped: target.is_enveloped,
            end,
            reporter,
        })
    }

    /// Returns a handle that commits the position.
    pub(super) fn committer(&self) -> Committer {
        self.source.committer()
    }

    /// Returns all chunks until the stream ends. A failure is the last item.
    pub(super) fn chunks(self) -> BoxStream<'static, Result<Received, Failure>> {
        let next = |mut stream: TargetStream| async move {
            let received = stream.next().await?;
            Some((received, stream))
        };
        unfold(self, next).boxed()
    }

    async fn next(&mut self) -> Option<Result<Received, Failure>> {
        let End::OfTopics(open) = &self.end else { return self.read_on().await };
        match open.progress() {
            EndProgress::Open => self.read_on().await,
            EndProgress::Ended => None,
            // Events of a new topic may arrive soon.
            EndProgress::EndedSoFar => timeout(QUIET, self.read_on()).await.unwrap_or(None),
        }
    }

    async fn read_on(&mut self) -> Option<Result<Received, Failure>> {
        loop {
            tokio::select! {
                biased;
                piece = self.source.next_chunk() => {
                    return match piece? {
                        Ok(piece) => Some(self.receive(piece)),
                        Err(error) if self.is_over(&error) => None,
                        Err(error) => Some(Err(self.failure(error))),
                    };
                }
                Ok(()) = self.states.changed() => {
                    let state = self.states.borrow_and_update().clone();
                    if let State::Waiting { reason, .. } = &state && self.is_over(reason) {
                        return None;
                    }
                    self.reporter.report(&state);
                }
                () = self.reporter.report_silence() => {}
            }
        }
    }

    /// `true` if this loss of the connection is the end of the stream.
    fn is_over(&self, reason: &EventSourceError) -> bool {
        let reason = match reason {
            EventSourceError::GaveUp { last, .. } => last,
            reason => reason,
        };
        matches!((&self.end, reason), (End::OfConnection, EventSourceError::Ended))
    }

    fn failure(&self, error: EventSourceError) -> Failure {
        match error {
            EventSourceError::Cursor(error) => Failure::new(Code::Failed, error),
            error => {
                let error = match certificate_advice(&error.to_string()) {
                    Some(advice) => anyhow!("{advice}"),
                    None => error.into(),
                };
                Failure::new(
                    Code::NoStream,
                    error.context(format!("cannot subscribe to {}", self.name)),
                )
            }
        }
    }

    fn receive(&mut self, piece: Chunk) -> Result<Received, Failure> {
        let content = match piece.item {
            Some(Item::Event(event)) => self.read(event)?,
            _ => Content::Other,
        };
        Ok(Received {
            name: Arc::clone(&self.name),
            bytes: piece.bytes.into(),
            content,
            last_event_id: self.source.last_event_id().to_owned(),
        })
    }

    fn read(&mut self, event: Event) -> Result<Content, Failure> {
        self.reporter.observe(&event);
        match Control::of(&event) {
            None => {
                let object = self.object(event);
                if let (End::OfTopics(open), Some(topic)) = (&mut self.end, &object.topic) {
                    open.begin(topic).or_fail(Code::Failed)?;
                }
                Ok(Content::Event(object))
            }
            Some(Control::Gap(gap)) => {
                let topics = gap.topics.join(", ");
                let explanation = explain_gap(&gap.reason);
                let message = format!("events were lost ({}): {topics}{explanation}", gap.reason);
                Ok(Content::Gap(message))
            }
            Some(Control::End(end)) => {
                if end.reason.is_empty() {
                    print_message(format_args!("{} has ended", end.topic));
                } else {
                    print_message(format_args!("{} has ended: {}", end.topic, end.reason));
                }
                if let End::OfTopics(open) = &mut self.end {
                    open.end(&end.topic);
                }
                Ok(Content::Other)
            }
            Some(_) => Ok(Content::Other),
        }
    }

    /// Returns the event with everything known about it. It always has an id, which can be empty.
    fn object(&self, event: Event) -> EventObject {
        let enveloped = if self.is_enveloped { EventObject::from_envelope(&event) } else { None };
        let mut object = enveloped
            .unwrap_or_else(|| EventObject::from_plain(event, self.source.last_event_id()));
        object.id.get_or_insert_default();
        object
    }
}

/// Returns an explanation of a reason of `stentor.gap`, to append to the topics; empty for an unknown reason.
fn explain_gap(reason: &str) -> &'static str {
    match reason {
        "unreadable" => {
            "; the start id is not from this server, so the stream starts at the oldest event"
        }
        "epoch" => "; the start id is from another log, so the stream starts at the oldest event",
        "future" => {
            "; the server lost its newest events, so the stream continues with the next one"
        }
        "trimmed" => "; they were deleted by a limit of the log before they were read",
        "damaged" => "; they are damaged on the disk of the server, see `stentor log verify`",
        "deleted" => "; the topic was deleted and started again",
        _ => "",
    }
}
