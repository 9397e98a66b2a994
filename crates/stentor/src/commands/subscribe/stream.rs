//! A stream that is being followed.

use std::sync::Arc;
use std::time::Duration;

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
use super::open_topics::{EndOfAll, OpenTopics};
use super::target::{Kind, Target};
use crate::commands::status::StatusReporter;
use crate::output::print_message;

/// When a silent connection to our own server is dead: it sends something every 18 s at the latest.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// How long nothing more may come after the end of all topics of a pattern until it is the end.
const QUIET: Duration = Duration::from_secs(1);

/// A target's stream, and what is known of its end.
pub(super) struct TargetStream {
    name: Arc<str>,
    source: EventSource,
    states: watch::Receiver<State>,
    is_enveloped: bool,
    end: End,
    status: StatusReporter,
}

/// When a stream is over, beside a 204.
enum End {
    /// Never.
    None,
    /// When its topics have ended.
    OfTopics(OpenTopics),
    /// When the server ends it.
    OfConnection,
}

/// What came of a stream.
pub(super) struct Received {
    /// What the stream is called.
    pub(super) name: Arc<str>,
    pub(super) bytes: Vec<u8>,
    pub(super) content: Content,
    /// The id to go on behind when this has been dealt with.
    pub(super) last_event_id: String,
}

/// What the bytes say.
pub(super) enum Content {
    Event(EventObject),
    /// Events were lost, as the server puts it.
    Gap(String),
    /// Nothing for the reader of the events.
    Other,
}

impl TargetStream {
    /// Begins to follow a target by this request. `until_end` is for those that have no end of
    /// their own.
    pub(super) fn begin(
        target: Target,
        request: EventSourceBuilder,
        until_end: bool,
    ) -> Result<TargetStream, Failure> {
        let is_address = target.kind == Kind::Address;
        let request = if is_address { request } else { request.idle_timeout(IDLE_TIMEOUT) };
        let source = request.build().or_fail(Code::Usage)?;
        let states = source.states();
        let status = StatusReporter::new(&target.name);
        let end = match target.kind {
            Kind::Topics { names, has_globs: false } => End::OfTopics(OpenTopics::named(names)),
            Kind::Topics { names, .. } if until_end => End::OfTopics(OpenTopics::seen(names)),
            Kind::Address if until_end => End::OfConnection,
            Kind::Topics { .. } | Kind::Address => End::None,
        };
        Ok(TargetStream {
            name: target.name.into(),
            source,
            states,
            is_enveloped: target.is_enveloped,
            end,
            status,
        })
    }

    /// To say what has been dealt with.
    pub(super) fn committer(&self) -> Committer {
        self.source.committer()
    }

    /// All that comes, to the end; a failure is the last item.
    pub(super) fn pieces(self) -> BoxStream<'static, Result<Received, Failure>> {
        let next = |mut following: TargetStream| async move {
            let received = following.next().await?;
            Some((received, following))
        };
        unfold(self, next).boxed()
    }

    async fn next(&mut self) -> Option<Result<Received, Failure>> {
        let End::OfTopics(open) = &self.end else { return self.read_on().await };
        match open.end_of_all() {
            EndOfAll::Ahead => self.read_on().await,
            EndOfAll::Final => None,
            // What was published meanwhile may still be on its way.
            EndOfAll::UnlessMoreComes => timeout(QUIET, self.read_on()).await.unwrap_or(None),
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
                    self.status.report(&state);
                }
            }
        }
    }

    /// Whether the loss of a connection is the end of the stream.
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
                let error = anyhow::Error::from(error);
                Failure::new(Code::NoStream, error.context(format!("cannot follow {}", self.name)))
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
        self.status.observe(&event);
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
                Ok(Content::Gap(format!("events were lost ({}): {topics}", gap.reason)))
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

    /// All that is known of an event. It always has an id, be it the empty one.
    fn object(&self, event: Event) -> EventObject {
        let enveloped = if self.is_enveloped { EventObject::from_envelope(&event) } else { None };
        let mut object = enveloped
            .unwrap_or_else(|| EventObject::from_plain(event, self.source.last_event_id()));
        object.id.get_or_insert_default();
        object
    }
}
