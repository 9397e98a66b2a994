//! The connection of an event source: connects, reads, waits and reconnects.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use reqwest::header::HeaderValue;
use stentor_sse::Item;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use super::attempt::Attempt;
use super::error::EventSourceError;
use super::idle::IdleTimer;
use super::open_stream::{Chunk, OpenStream, ReadResult};
use super::state::State;
use super::transport::Transport;
use crate::cursor::{Committer, CursorError};
use crate::reconnect::{GiveUp, Outcome, Reconnect, Step};

/// The connection of an [`EventSource`](crate::EventSource). It executes the decisions of [`Reconnect`].
pub(crate) struct Connection {
    transport: Transport,
    reconnect: Reconnect,
    idle: IdleTimer,
    event_bytes_max: usize,
    last_event_id: String,
    /// `true` once a chunk was read. Before that, the store may hold another id than `last_event_id`.
    has_read: bool,
    state: watch::Sender<State>,
    phase: Phase,
    /// Start of the time that is passed to the state machine.
    origin: Instant,
}

enum Phase {
    /// Loads the cursor from the store.
    Loading(BoxFuture<'static, Result<Option<String>, CursorError>>),
    Connecting(BoxFuture<'static, Attempt>),
    Renewing(BoxFuture<'static, Result<HeaderValue, String>>),
    Open(Box<OpenStream>),
    Waiting(Pin<Box<Sleep>>),
    Closed,
}

/// Result of a change of phase. An error closes the connection.
type Transition = Result<(), EventSourceError>;

impl Connection {
    pub(crate) fn new(
        transport: Transport,
        reconnect: Reconnect,
        idle: IdleTimer,
        event_bytes_max: usize,
        last_event_id: String,
        committer: &Committer,
    ) -> Connection {
        let phase = if committer.has_store() {
            Phase::Loading(committer.clone().load().boxed())
        } else {
            Phase::Connecting(transport.request(&last_event_id).boxed())
        };
        Connection {
            transport,
            reconnect,
            idle,
            event_bytes_max,
            last_event_id,
            has_read: false,
            state: watch::Sender::new(State::Connecting),
            phase,
            origin: Instant::now(),
        }
    }

    pub(crate) fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Returns the last event id; `None` before the first chunk.
    pub(crate) fn id_to_commit(&self) -> Option<&str> {
        self.has_read.then_some(&self.last_event_id)
    }

    pub(crate) fn state(&self) -> &watch::Sender<State> {
        &self.state
    }

    pub(crate) fn url(&self) -> &reqwest::Url {
        &self.transport.request.url
    }

    pub(crate) fn close(&mut self) {
        self.enter(Phase::Closed, State::Closed);
    }

    /// Reconnects at once. Does nothing while loading a cursor or renewing the authorization, or when closed.
    pub(crate) fn reconnect(&mut self) {
        match self.phase {
            Phase::Loading(_) | Phase::Renewing(_) | Phase::Closed => {}
            Phase::Connecting(_) | Phase::Open(_) | Phase::Waiting(_) => self.connect(),
        }
    }

    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Chunk, EventSourceError>>> {
        loop {
            let transition = match &mut self.phase {
                Phase::Loading(load) => {
                    let loaded = ready!(load.poll_unpin(cx));
                    self.take_cursor(loaded)
                }
                Phase::Connecting(attempt) => match attempt.poll_unpin(cx) {
                    Poll::Ready(attempt) => self.take_attempt(attempt),
                    Poll::Pending => ready!(self.poll_idle(Outcome::NoResponse, cx)),
                },
                Phase::Renewing(renewal) => {
                    let renewed = ready!(renewal.poll_unpin(cx));
                    self.take_authorization(renewed)
                }
                Phase::Open(stream) => match stream.poll(cx) {
                    Poll::Ready(ReadResult::Chunk(chunk)) => {
                        self.take_chunk(&chunk);
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                    Poll::Ready(ReadResult::End(reason)) => self.lose(Outcome::Ended, reason),
                    Poll::Ready(ReadResult::Failed(error)) => {
                        self.lose(Outcome::Unusable, error.into())
                    }
                    Poll::Pending => ready!(self.poll_idle(Outcome::Ended, cx)),
                },
                Phase::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.connect();
                    Ok(())
                }
                Phase::Closed => return Poll::Ready(None),
            };
            if let Err(error) = transition {
                self.close();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn take_cursor(&mut self, loaded: Result<Option<String>, CursorError>) -> Transition {
        if let Some(id) = loaded? {
            self.last_event_id = id;
        }
        self.connect();
        Ok(())
    }

    fn take_attempt(&mut self, attempt: Attempt) -> Transition {
        let outcome = attempt.outcome();
        match attempt.into_stream() {
            Ok((head, body)) => {
                let now = self.now();
                self.reconnect.next_step(outcome, now);
                self.idle.opened(now);
                let stream = OpenStream::new(body, &self.last_event_id, self.event_bytes_max);
                self.enter(Phase::Open(Box::new(stream)), State::Open(head));
                Ok(())
            }
            Err(reason) => self.lose(outcome, reason),
        }
    }

    fn take_authorization(&mut self, renewed: Result<HeaderValue, String>) -> Transition {
        match renewed {
            Ok(value) => {
                self.transport.set_authorization(value);
                self.connect();
                Ok(())
            }
            Err(cause) => self.lose(Outcome::NoResponse, EventSourceError::Renewal { cause }),
        }
    }

    fn take_chunk(&mut self, chunk: &Chunk) {
        let comment = match &chunk.item {
            Some(Item::Comment(comment)) => Some(comment.as_str()),
            _ => None,
        };
        self.idle.received(comment, self.origin.elapsed());
        self.has_read = true;
        if let Some(Item::Retry(time)) = chunk.item {
            self.reconnect.set_reconnection_time(time);
        }
        let Phase::Open(stream) = &self.phase else { return };
        let id = stream.last_event_id();
        if id != self.last_event_id {
            id.clone_into(&mut self.last_event_id);
            if !id.is_empty() {
                self.reconnect.progressed();
            }
        }
    }

    /// Waits for the idle timeout, because no bytes are available. Ready when it elapses.
    fn poll_idle(&mut self, outcome: Outcome, cx: &mut Context<'_>) -> Poll<Transition> {
        self.idle
            .poll_elapsed(cx)
            .map(|after| self.lose(outcome, EventSourceError::IdleTimeout { after }))
    }

    /// Handles the loss of the stream, or a failed attempt, for this reason.
    fn lose(&mut self, outcome: Outcome, reason: EventSourceError) -> Transition {
        let last_bytes_at = match reason {
            EventSourceError::IdleTimeout { after } => self.now().saturating_sub(after),
            _ => self.now(),
        };
        match self.reconnect.next_step(outcome, last_bytes_at) {
            Step::Wait(wait) => {
                let until = Instant::now() + wait;
                let attempt = self.reconnect.attempt();
                let waiting = State::Waiting { until, reason, attempt };
                self.enter(Phase::Waiting(Box::pin(sleep_until(until))), waiting);
                Ok(())
            }
            Step::Finish => {
                self.close();
                Ok(())
            }
            Step::Renew => {
                let renewal = self.transport.renew().ok_or(reason)?;
                self.enter(Phase::Renewing(renewal), State::Connecting);
                Ok(())
            }
            Step::GiveUp(GiveUp::Attempts(attempts)) => {
                Err(EventSourceError::GaveUp { attempts, last: Box::new(reason) })
            }
            Step::GiveUp(GiveUp::Unauthorized) => Err(reason.after_renewal()),
            Step::GiveUp(GiveUp::Fatal) | Step::Read => Err(reason),
        }
    }

    fn connect(&mut self) {
        let attempt = self.transport.request(&self.last_event_id).boxed();
        self.enter(Phase::Connecting(attempt), State::Connecting);
    }

    fn enter(&mut self, phase: Phase, state: State) {
        self.idle.stop();
        self.phase = phase;
        self.state.send_replace(state);
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}
