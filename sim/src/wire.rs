//! A simulated connection: a bounded buffer between a shard and a client.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;

use fastrand::Rng;

/// A connection that a shard and a client share.
#[derive(Clone)]
pub(crate) struct Wire(Rc<RefCell<State>>);

#[expect(clippy::struct_excessive_bools, reason = "independent conditions of a connection")]
struct State {
    rng: Rng,
    /// Bytes that the shard has written and the client has not read.
    buffer: VecDeque<u8>,
    capacity: usize,
    /// A write takes one byte.
    byte_by_byte: bool,
    /// Bytes that the client has sent.
    input: usize,
    /// The client has closed its side.
    input_closed: bool,
    /// The connection was reset.
    is_reset: bool,
    /// The shard has closed its side.
    is_finished: bool,
    /// The last write found too little room.
    was_blocked: bool,
    /// The token that the shard registered for input, and `true` if it waits for room, too.
    watch: Option<(usize, bool)>,
    /// An event for the shard is due.
    has_event: bool,
    /// Number of writes that found no room.
    blocks: u64,
}

impl Wire {
    /// Creates a connection whose buffer holds `capacity` bytes.
    pub(crate) fn new(capacity: usize, byte_by_byte: bool, rng: Rng) -> Wire {
        Wire(Rc::new(RefCell::new(State {
            rng,
            buffer: VecDeque::new(),
            capacity: capacity.max(1),
            byte_by_byte,
            input: 0,
            input_closed: false,
            is_reset: false,
            is_finished: false,
            was_blocked: false,
            watch: None,
            has_event: false,
            blocks: 0,
        })))
    }

    // The side of the shard.

    pub(crate) fn write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        state.fail_if_broken()?;
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        let room = state.capacity.saturating_sub(state.buffer.len());
        let mut taken = length.min(room);
        if taken == 0 {
            state.was_blocked = true;
            state.blocks += 1;
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if state.byte_by_byte {
            taken = 1;
        } else if state.rng.u8(0..4) == 0 {
            taken = state.short_write(pieces, taken);
        }
        // As in the kernel, a write that fills the buffer is followed by an event when there is room again.
        state.was_blocked = taken < length && taken == room;
        let mut rest = taken;
        for piece in pieces {
            let (part, _) = piece.split_at(piece.len().min(rest));
            state.buffer.extend(part);
            rest -= part.len();
        }
        Ok(taken)
    }

    /// Discards the input. `None` if the client has closed its side, or sent more than `max` bytes.
    pub(crate) fn discard_input(&self, max: usize) -> Option<usize> {
        let mut state = self.0.borrow_mut();
        let input = std::mem::take(&mut state.input);
        let is_open = !state.is_reset && !state.input_closed && input <= max;
        is_open.then_some(input)
    }

    pub(crate) fn finish(&self) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.fail_if_broken()?;
        state.is_finished = true;
        Ok(())
    }

    /// Registers for events. As with epoll, an event is due at once if the connection is ready.
    pub(crate) fn watch(&self, token: usize, room: bool) {
        let mut state = self.0.borrow_mut();
        state.watch = Some((token, room));
        if state.is_ready(room) {
            state.has_event = true;
        }
    }

    // The side of the client.

    /// Takes at most `count` bytes.
    pub(crate) fn take(&self, count: usize) -> Vec<u8> {
        let mut state = self.0.borrow_mut();
        let count = count.min(state.buffer.len());
        let bytes: Vec<u8> = state.buffer.drain(..count).collect();
        if count > 0 && std::mem::take(&mut state.was_blocked) {
            state.notify(false, true);
        }
        bytes
    }

    /// Number of bytes that the client can take.
    pub(crate) fn available(&self) -> usize {
        self.0.borrow().buffer.len()
    }

    /// Returns `true` if no more bytes will come.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.0.borrow();
        state.buffer.is_empty() && (state.is_finished || self.is_dropped())
    }

    /// Returns `true` if the shard has dropped its side.
    pub(crate) fn is_dropped(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

    /// The client resets the connection.
    pub(crate) fn reset(&self) {
        let mut state = self.0.borrow_mut();
        state.is_reset = true;
        state.notify(true, true);
    }

    /// The client closes its side.
    pub(crate) fn close_input(&self) {
        let mut state = self.0.borrow_mut();
        state.input_closed = true;
        state.notify(true, false);
    }

    /// The client sends bytes.
    pub(crate) fn send(&self, count: usize) {
        let mut state = self.0.borrow_mut();
        state.input += count;
        state.notify(true, false);
    }

    /// Ends all disturbances.
    pub(crate) fn calm_down(&self) {
        let mut state = self.0.borrow_mut();
        state.capacity = state.capacity.max(64 << 10);
        state.byte_by_byte = false;
        if std::mem::take(&mut state.was_blocked) {
            state.notify(false, true);
        }
    }

    /// Takes the token of an event that is due.
    pub(crate) fn take_event(&self) -> Option<usize> {
        let mut state = self.0.borrow_mut();
        let (token, ..) = state.watch?;
        std::mem::take(&mut state.has_event).then_some(token)
    }

    /// A text about its state.
    pub(crate) fn describe(&self) -> String {
        let State { buffer, capacity, was_blocked, watch, has_event, is_finished, .. } =
            &*self.0.borrow();
        format!(
            "{} of {capacity} bytes, blocked {was_blocked}, watched {watch:?}, event {has_event}, \
             finished {is_finished}",
            buffer.len()
        )
    }

    /// Returns `true` if an event is due.
    pub(crate) fn has_event(&self) -> bool {
        let state = self.0.borrow();
        state.has_event && state.watch.is_some()
    }

    /// The token that the shard registered.
    pub(crate) fn token(&self) -> Option<usize> {
        self.0.borrow().watch.map(|(token, ..)| token)
    }

    /// Number of writes that found no room.
    pub(crate) fn blocks(&self) -> u64 {
        self.0.borrow().blocks
    }
}

impl State {
    /// Returns the length of a write of less than `most` bytes: any, or up to the end of a line, where events end.
    fn short_write(&mut self, pieces: &[IoSlice<'_>], most: usize) -> usize {
        if self.rng.bool() {
            return self.rng.usize(1..=most);
        }
        let bytes = pieces.iter().flat_map(|piece| piece.iter()).take(most);
        let ends = bytes.zip(1..).filter(|(byte, _)| **byte == b'\n');
        let ends: Vec<usize> = ends.map(|(_, length)| length).collect();
        let at = self.rng.usize(0..ends.len().max(1));
        ends.get(at).copied().unwrap_or(most)
    }

    fn fail_if_broken(&self) -> io::Result<()> {
        if self.is_reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }

    fn is_ready(&self, room: bool) -> bool {
        let is_readable = self.input > 0 || self.input_closed;
        let is_writable = self.buffer.len() < self.capacity;
        self.is_reset || is_readable || room && is_writable
    }

    /// The connection became readable or writable: an event is due if the shard waits for it.
    fn notify(&mut self, readable: bool, writable: bool) {
        if let Some((_, room)) = self.watch
            && (self.is_reset || readable || room && writable)
        {
            self.has_event = true;
        }
    }
}
