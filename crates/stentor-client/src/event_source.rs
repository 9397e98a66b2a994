//! A stream of events that survives its connections.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use stentor_sse::{Event, Item};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::builder::EventSourceBuilder;
use crate::error::{BuildError, EventSourceError};
use crate::idle::Idle;
use crate::reading::{Piece, Read, Reading};
use crate::reconnect::{Outcome, Reconnect, Step};
use crate::state::State;
use crate::transport::{Attempt, Transport};

/// The events at an address, over as many connections as it takes.
///
/// It works while it is polled, within a tokio runtime, and needs no task of its own: dropping it is
/// all it takes to leave. What it holds in memory is bounded: what has come in one piece, and one
/// event ([`stentor_sse::Decoder::EVENT_BYTES_MAX`]). A reader that does not poll holds the server back by the
/// flow control of its connection.
///
/// The rules are those of the standard (HTML, section 9.2), with two that only a program needs: the
/// statuses 429, 502, 503 and 504 are tried again, `Retry-After` honoured, and waits grow, with
/// jitter, until a new id shows that the stream gets on.
pub struct EventSource {
    transport: Transport,
    reconnect: Reconnect,
    idle: Idle,
    last_event_id: String,
    state: watch::Sender<State>,
    phase: Phase,
}

enum Phase {
    Connecting(BoxFuture<'static, Attempt>),
    Open(Box<Reading>),
    Waiting(Pin<Box<Sleep>>),
    Closed,
}

impl EventSource {
    /// The reconnection time until a stream sets its own: 2 s.
    pub const RECONNECTION_TIME: Duration = Duration::from_secs(2);

    /// How long connecting may take, unless told otherwise: 10 s.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// How many redirects in a row are followed: 20.
    pub const REDIRECTS_MAX: usize = 20;

    /// A source at this http or https address, which connects when it is first polled.
    pub fn new(url: impl AsRef<str>) -> Result<EventSource, BuildError> {
        EventSource::builder(url).build()
    }

    /// A source that needs headers, a start or times of its own.
    pub fn builder(url: impl AsRef<str>) -> EventSourceBuilder {
        EventSourceBuilder::new(url.as_ref())
    }

    pub(crate) fn begin(
        transport: Transport,
        reconnect: Reconnect,
        idle: Idle,
        last_event_id: String,
    ) -> EventSource {
        let phase = Phase::Connecting(transport.request(&last_event_id).boxed());
        let state = watch::Sender::new(State::Connecting);
        EventSource { transport, reconnect, idle, last_event_id, state, phase }
    }

    /// The next event. `None` is the end: the server has nothing more (204), or an error came before
    /// it, or the source was closed.
    ///
    /// Nothing is lost if the future is dropped.
    ///
    /// # Errors
    ///
    /// Only what no further attempt can mend; it is the last item.
    pub async fn next(&mut self) -> Option<Result<Event, EventSourceError>> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The next piece of the stream, for those who want to see its bytes, comments or ids. Mixed
    /// with [`next`](Self::next), each goes on where the other stopped.
    ///
    /// # Errors
    ///
    /// As with [`next`](Self::next).
    pub async fn next_piece(&mut self) -> Option<Result<Piece, EventSourceError>> {
        std::future::poll_fn(|cx| self.poll_piece(cx)).await
    }

    /// The id of the newest event that was handed out, or of a block without data behind it: what a
    /// reconnect sends. Empty means none.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// How the connection fares.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// The same, to be told of changes. A state that another follows at once may go unseen.
    pub fn states(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Leaves for good, also while it waits.
    pub fn close(&mut self) {
        self.enter(Phase::Closed, State::Closed);
    }

    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Event, EventSourceError>>> {
        loop {
            match ready!(self.poll_piece(cx)) {
                Some(Ok(Piece { item: Some(Item::Event(event)), .. })) => {
                    return Poll::Ready(Some(Ok(event)));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Piece, EventSourceError>>> {
        loop {
            let moved = match &mut self.phase {
                Phase::Connecting(attempt) => match attempt.poll_unpin(cx) {
                    Poll::Ready(attempt) => self.take_attempt(attempt),
                    Poll::Pending => ready!(self.poll_silence(Outcome::NoAnswer, cx)),
                },
                Phase::Open(reading) => match reading.poll(cx) {
                    Poll::Ready(Read::Piece(piece)) => {
                        self.idle.stop();
                        if let Some(Item::Retry(time)) = piece.item {
                            self.reconnect.set_reconnection_time(time);
                        }
                        let id = reading.last_event_id();
                        if id != self.last_event_id {
                            id.clone_into(&mut self.last_event_id);
                            if !id.is_empty() {
                                self.reconnect.progressed();
                            }
                        }
                        return Poll::Ready(Some(Ok(piece)));
                    }
                    Poll::Ready(Read::End(reason)) => self.lose(Outcome::Ended, reason),
                    Poll::Ready(Read::Failed(error)) => self.give_up(error.into()),
                    Poll::Pending => ready!(self.poll_silence(Outcome::Ended, cx)),
                },
                Phase::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    let attempt = self.transport.request(&self.last_event_id).boxed();
                    self.enter(Phase::Connecting(attempt), State::Connecting);
                    Ok(())
                }
                Phase::Closed => return Poll::Ready(None),
            };
            if let Err(error) = moved {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn take_attempt(&mut self, attempt: Attempt) -> Result<(), EventSourceError> {
        let step = self.reconnect.after(attempt.outcome(), Instant::now());
        match attempt.into_body() {
            Ok(body) => {
                let reading = Box::new(Reading::new(body, &self.last_event_id));
                self.enter(Phase::Open(reading), State::Open);
                Ok(())
            }
            Err(reason) => self.leave(step, reason),
        }
    }

    /// There is nothing to read: goes on if that is so for too long by now.
    fn poll_silence(
        &mut self,
        outcome: Outcome,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), EventSourceError>> {
        self.idle
            .poll_elapsed(cx)
            .map(|after| self.lose(outcome, EventSourceError::Silent { after }))
    }

    fn lose(&mut self, outcome: Outcome, reason: EventSourceError) -> Result<(), EventSourceError> {
        let step = self.reconnect.after(outcome, Instant::now());
        self.leave(step, reason)
    }

    /// There is no stream, for this reason.
    fn leave(&mut self, step: Step, reason: EventSourceError) -> Result<(), EventSourceError> {
        match step {
            Step::ConnectAt(until) => {
                let sleep = Box::pin(sleep_until(until));
                self.enter(Phase::Waiting(sleep), State::Waiting { until, reason });
                Ok(())
            }
            Step::Finish => {
                self.close();
                Ok(())
            }
            Step::GiveUp | Step::Read => self.give_up(reason),
        }
    }

    fn give_up(&mut self, error: EventSourceError) -> Result<(), EventSourceError> {
        self.close();
        Err(error)
    }

    fn enter(&mut self, phase: Phase, state: State) {
        self.idle.stop();
        self.phase = phase;
        self.state.send_replace(state);
    }
}

impl Stream for EventSource {
    type Item = Result<Event, EventSourceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx)
    }
}

impl std::fmt::Debug for EventSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventSource")
            .field("url", &self.transport.url.as_str())
            .field("state", &*self.state.borrow())
            .field("last_event_id", &self.last_event_id)
            .finish_non_exhaustive()
    }
}
