//! The connection of a source: made, lost, waited for, and made again.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use reqwest::header::HeaderValue;
use stentor_sse::Item;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::attempt::Attempt;
use crate::cursor::{Committer, CursorError};
use crate::error::EventSourceError;
use crate::idle::Idle;
use crate::reading::{Chunk, Read, Reading};
use crate::reconnect::{GiveUp, Outcome, Reconnect, Step};
use crate::state::State;
use crate::transport::Transport;

/// What an [`EventSource`](crate::EventSource) is inside. It does what [`Reconnect`] decides.
pub(crate) struct Connection {
    transport: Transport,
    reconnect: Reconnect,
    idle: Idle,
    event_bytes_max: usize,
    last_event_id: String,
    has_read: bool,
    state: watch::Sender<State>,
    phase: Phase,
    /// What the state machine's time is counted from.
    origin: Instant,
}

enum Phase {
    /// Asks the store where to begin.
    Loading(BoxFuture<'static, Result<Option<String>, CursorError>>),
    Connecting(BoxFuture<'static, Attempt>),
    Renewing(BoxFuture<'static, Result<HeaderValue, String>>),
    Open(Box<Reading>),
    Waiting(Pin<Box<Sleep>>),
    Closed,
}

/// Goes on, or ends with an error.
type Moved = Result<(), EventSourceError>;

impl Connection {
    pub(crate) fn new(
        transport: Transport,
        reconnect: Reconnect,
        idle: Idle,
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

    /// The last event id, once something was read: before that it may not be what the store has.
    pub(crate) fn reached(&self) -> Option<&str> {
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

    /// Connects anew, unless it is on the way there for the first time, or closed.
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
            let moved = match &mut self.phase {
                Phase::Loading(load) => {
                    let loaded = ready!(load.poll_unpin(cx));
                    self.take_cursor(loaded)
                }
                Phase::Connecting(attempt) => match attempt.poll_unpin(cx) {
                    Poll::Ready(attempt) => self.take_attempt(attempt),
                    Poll::Pending => ready!(self.poll_silence(Outcome::NoResponse, cx)),
                },
                Phase::Renewing(renewal) => {
                    let renewed = ready!(renewal.poll_unpin(cx));
                    self.take_authorization(renewed)
                }
                Phase::Open(reading) => match reading.poll(cx) {
                    Poll::Ready(Read::Chunk(piece)) => {
                        self.take_chunk(&piece);
                        return Poll::Ready(Some(Ok(piece)));
                    }
                    Poll::Ready(Read::End(reason)) => self.lose(Outcome::Ended, reason),
                    Poll::Ready(Read::Failed(error)) => self.lose(Outcome::Unusable, error.into()),
                    Poll::Pending => ready!(self.poll_silence(Outcome::Ended, cx)),
                },
                Phase::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.connect();
                    Ok(())
                }
                Phase::Closed => return Poll::Ready(None),
            };
            if let Err(error) = moved {
                self.close();
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn take_cursor(&mut self, loaded: Result<Option<String>, CursorError>) -> Moved {
        if let Some(id) = loaded? {
            self.last_event_id = id;
        }
        self.connect();
        Ok(())
    }

    fn take_attempt(&mut self, attempt: Attempt) -> Moved {
        let outcome = attempt.outcome();
        match attempt.into_stream() {
            Ok((head, body)) => {
                self.reconnect.next_step(outcome, self.now());
                let reading = Reading::new(body, &self.last_event_id, self.event_bytes_max);
                self.enter(Phase::Open(Box::new(reading)), State::Open(head));
                Ok(())
            }
            Err(reason) => self.lose(outcome, reason),
        }
    }

    fn take_authorization(&mut self, renewed: Result<HeaderValue, String>) -> Moved {
        match renewed {
            Ok(value) => {
                self.transport.set_authorization(value);
                self.connect();
                Ok(())
            }
            Err(cause) => self.lose(Outcome::NoResponse, EventSourceError::Renewal { cause }),
        }
    }

    fn take_chunk(&mut self, piece: &Chunk) {
        self.idle.stop();
        self.has_read = true;
        if let Some(Item::Retry(time)) = piece.item {
            self.reconnect.set_reconnection_time(time);
        }
        let Phase::Open(reading) = &self.phase else { return };
        let id = reading.last_event_id();
        if id != self.last_event_id {
            id.clone_into(&mut self.last_event_id);
            if !id.is_empty() {
                self.reconnect.progressed();
            }
        }
    }

    /// There is nothing to read: goes on if that is so for too long by now.
    fn poll_silence(&mut self, outcome: Outcome, cx: &mut Context<'_>) -> Poll<Moved> {
        self.idle
            .poll_elapsed(cx)
            .map(|after| self.lose(outcome, EventSourceError::IdleTimeout { after }))
    }

    /// There is no stream, for this reason.
    fn lose(&mut self, outcome: Outcome, reason: EventSourceError) -> Moved {
        let last_sign_of_life = match reason {
            EventSourceError::IdleTimeout { after } => self.now().saturating_sub(after),
            _ => self.now(),
        };
        match self.reconnect.next_step(outcome, last_sign_of_life) {
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
            Step::GiveUp(GiveUp::Unauthorized) => Err(reason.even_renewed()),
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
