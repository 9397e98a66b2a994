//! Pipes: bounded buffers between a shard and a response body, for streams whose socket the shard does
//! not have.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use mio::Token;
use prometheus_client::metrics::gauge::Gauge;

use super::readiness::{Readiness, ReadyList, Registrar};
use super::transport::{Finish, SharedBytes, Transport, Written};
use crate::limits::PIECE_BYTES_MAX;

/// Maximum number of bytes in a pipe.
pub(crate) const PIPE_BYTES_MAX: usize = 64 << 10;

/// Creates a pipe. `held` is the gauge of the bytes held for readers.
pub(crate) fn pipe(held: Gauge) -> (PipeWriter, PipeReader) {
    let state = State {
        buffer: Buffer::Empty,
        end: End::Open,
        body: None,
        has_body: true,
        is_half_closed: false,
        watch: None,
        is_blocked: false,
        held,
    };
    let pipe = Arc::new(Pipe(Mutex::new(state)));
    (PipeWriter(Arc::clone(&pipe)), PipeReader(pipe))
}

/// The shard's end of a pipe. Dropping it without [`Transport::finish`] interrupts the stream.
#[derive(Debug)]
pub(crate) struct PipeWriter(Arc<Pipe>);

/// The body's end of a pipe. Dropping it tells the shard that the reader has left.
#[derive(Debug)]
pub(crate) struct PipeReader(Arc<Pipe>);

/// The input of the client, of which a pipe knows only the end.
#[derive(Debug)]
pub(crate) struct PipeInput(Arc<Pipe>);

#[derive(Debug)]
struct Pipe(Mutex<State>);

#[derive(Debug)]
struct State {
    buffer: Buffer,
    end: End,
    /// The task of the body, while it waits for bytes.
    body: Option<Waker>,
    /// `false` once the body was dropped.
    has_body: bool,
    /// `true` if the client has closed its sending side.
    is_half_closed: bool,
    /// The shard's interest in the pipe.
    watch: Option<Watch>,
    /// `true` if a write found too little room, and the body has taken nothing since.
    is_blocked: bool,
    held: Gauge,
}

/// The bytes in a pipe. An empty pipe has no memory.
#[derive(Debug)]
enum Buffer {
    Empty,
    /// One frame that other readers share.
    Shared(Bytes),
    /// Copies of several frames, or of a part of a large one. The gauge includes them.
    Copied(BytesMut),
}

#[derive(Debug)]
struct Watch {
    ready: ReadyList,
    token: Token,
    wants_room: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Finished,
    Interrupted,
}

/// The stream of a pipe was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted;

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn len(&self) -> usize {
        match self {
            Buffer::Empty => 0,
            Buffer::Shared(bytes) => bytes.len(),
            Buffer::Copied(bytes) => bytes.len(),
        }
    }
}

impl State {
    /// Appends a copy of as much of `bytes` as there is room for, and returns the number of bytes.
    fn copy(&mut self, bytes: &[u8]) -> usize {
        let room = PIPE_BYTES_MAX.saturating_sub(self.buffer.len());
        let part = bytes.get(..room).unwrap_or(bytes);
        if part.is_empty() {
            return 0;
        }
        let (buffer, added) = match &mut self.buffer {
            Buffer::Copied(buffer) => (buffer, part.len()),
            other => {
                let mut buffer = BytesMut::with_capacity(other.len() + part.len());
                if let Buffer::Shared(first) = &*other {
                    buffer.extend_from_slice(first);
                }
                let added = buffer.len() + part.len();
                *other = Buffer::Copied(buffer);
                let Buffer::Copied(buffer) = other else { return 0 };
                (buffer, added)
            }
        };
        buffer.extend_from_slice(part);
        self.held.inc_by(i64::try_from(added).unwrap_or(0));
        part.len()
    }

    /// Takes up to `max` bytes out of the pipe.
    fn take(&mut self, max: usize) -> Bytes {
        let bytes = max.min(self.buffer.len());
        let is_all = bytes == self.buffer.len();
        let taken = match &mut self.buffer {
            Buffer::Empty => Bytes::new(),
            Buffer::Shared(shared) => shared.split_to(bytes),
            Buffer::Copied(copied) => {
                self.held.dec_by(i64::try_from(bytes).unwrap_or(0));
                copied.split_to(bytes).freeze()
            }
        };
        if is_all {
            self.buffer = Buffer::Empty;
        }
        taken
    }

    /// Returns the outcome of a write of which `taken` of `wanted` bytes had room.
    fn written(&mut self, taken: usize, wanted: usize) -> Written {
        self.is_blocked |= taken < wanted;
        if taken == 0 { Written::Blocked } else { Written::Bytes(taken) }
    }

    /// Returns the notification that a shard needs which waits for room.
    fn notice_of_room(&mut self) -> Option<(ReadyList, Token)> {
        let was_blocked = std::mem::take(&mut self.is_blocked);
        let watch = self.watch.as_ref().filter(|watch| was_blocked && watch.wants_room)?;
        Some((watch.ready.clone(), watch.token))
    }
}

impl PipeWriter {
    /// Runs a write, and wakes the body if it waits for bytes.
    fn write_with(&self, write: impl FnOnce(&mut State) -> Written) -> Written {
        let mut state = self.0.state();
        if !state.has_body {
            return Written::Gone;
        }
        let written = write(&mut state);
        let body = if state.buffer.len() > 0 { state.body.take() } else { None };
        drop(state);
        if let Some(body) = body {
            body.wake();
        }
        written
    }

    /// Ends the stream, and wakes the body to see it.
    fn end(&self, end: End) {
        let mut state = self.0.state();
        if state.end != End::Open {
            return;
        }
        state.end = end;
        state.watch = None;
        if end == End::Interrupted && state.is_blocked {
            // The client has stopped reading, so hyper may never poll the body again. The bytes would
            // stay in memory as long as the connection is open.
            drop(state.take(usize::MAX));
        }
        let body = state.body.take();
        drop(state);
        if let Some(body) = body {
            body.wake();
        }
    }
}

impl Transport for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> Written {
        self.write_with(|state| {
            let taken = state.copy(bytes);
            state.written(taken, bytes.len())
        })
    }

    fn write_shared(&mut self, bytes: &mut SharedBytes<'_>) -> Written {
        self.write_with(|state| {
            let length = bytes.as_slice().len();
            // A part of a larger frame would keep all of it in memory.
            if matches!(state.buffer, Buffer::Empty) && length <= PIPE_BYTES_MAX {
                state.buffer = Buffer::Shared(bytes.to_bytes());
                return Written::Bytes(length);
            }
            let taken = state.copy(bytes.as_slice());
            state.written(taken, length)
        })
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> Written {
        self.write_with(|state| {
            let (mut taken, mut wanted) = (0, 0);
            for piece in pieces {
                wanted += piece.len();
                taken += state.copy(piece);
                if taken < wanted {
                    break;
                }
            }
            state.written(taken, wanted)
        })
    }

    fn discard_input(&mut self, _: usize) -> Option<usize> {
        let state = self.0.state();
        (state.has_body && !state.is_half_closed).then_some(0)
    }

    fn is_half_closed(&self) -> bool {
        let state = self.0.state();
        state.has_body && state.is_half_closed
    }

    fn finish(&mut self) -> Finish {
        self.end(End::Finished);
        Finish::Done
    }

    fn watch(
        &mut self,
        registrar: &Registrar<'_>,
        token: Token,
        readiness: Readiness,
        _: bool,
    ) -> io::Result<()> {
        let wants_room = readiness == Readiness::InputAndRoom;
        let mut state = self.0.state();
        // The body may have gone, made room, or reported a half-close, before the shard began to wait.
        let has_room = wants_room && !state.is_blocked;
        let is_ready = !state.has_body || state.is_half_closed || has_room;
        let ready = registrar.ready_list().clone();
        state.watch = Some(Watch { ready, token, wants_room });
        drop(state);
        if is_ready {
            registrar.ready_list().notify(token);
        }
        Ok(())
    }

    fn is_connection(&self) -> bool {
        false
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.end(End::Interrupted);
    }
}

impl PipeReader {
    /// Takes a piece of the bytes that are in the pipe, or waits for some. `None` at the end of the stream.
    pub(crate) fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Interrupted>>> {
        let mut state = self.0.state();
        if state.buffer.len() > 0 {
            let bytes = state.take(PIECE_BYTES_MAX);
            let notice = state.notice_of_room();
            drop(state);
            if let Some((ready, token)) = notice {
                ready.notify(token);
            }
            return Poll::Ready(Some(Ok(bytes)));
        }
        match state.end {
            End::Finished => Poll::Ready(None),
            End::Interrupted => {
                state.end = End::Finished;
                Poll::Ready(Some(Err(Interrupted)))
            }
            End::Open => {
                if !state.body.as_ref().is_some_and(|body| body.will_wake(cx.waker())) {
                    state.body = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Returns the input of the client.
    pub(crate) fn input(&self) -> PipeInput {
        PipeInput(Arc::clone(&self.0))
    }

    /// Returns `true` if the stream has ended and all its bytes were taken.
    pub(crate) fn is_finished(&self) -> bool {
        let state = self.0.state();
        state.end == End::Finished && state.buffer.len() == 0
    }
}

impl PipeInput {
    /// Tells the shard that the client has closed its sending side.
    pub(crate) fn half_close(&self) {
        let mut state = self.0.state();
        state.is_half_closed = true;
        let watch = state.watch.as_ref().map(|watch| (watch.ready.clone(), watch.token));
        drop(state);
        if let Some((ready, token)) = watch {
            ready.notify(token);
        }
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.has_body = false;
        state.body = None;
        drop(state.take(usize::MAX));
        let watch = state.watch.take();
        drop(state);
        if let Some(watch) = watch {
            watch.ready.notify(watch.token);
        }
    }
}
