//! The body of a page or a list: encoded piece by piece while the client takes it.

use std::any::Any;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use crate::body::{Body, BodyStream, StreamInterrupted};
use crate::limits::{PIECE_BYTES_MAX, RESPONSE_RATE_MIN, STALL_TIME_MAX};
use crate::metrics::Metrics;
use crate::response_budget::Charge;

/// Number of pieces that are encoded before the task yields.
const PIECES_PER_TURN: u32 = 8;
/// Number of bytes that a server may buffer of a response before it gets more.
const UNSENT_BYTES_MAX: usize = 2 * PIECE_BYTES_MAX;

/// Encodes a response in pieces, and holds what is not encoded yet.
pub(crate) trait PieceSource: Send {
    /// Appends about [`PIECE_BYTES_MAX`] bytes at most. Returns `true` if more follow.
    fn encode(&mut self, piece: &mut Vec<u8>) -> bool;

    /// Returns the approximate memory of the records that are not encoded yet, in bytes.
    fn held_bytes(&self) -> usize;
}

/// The body of a response whose memory is charged. The charge is returned as the client takes the pieces.
///
/// A client that takes nothing for [`STALL_TIME_MAX`], or less than [`RESPONSE_RATE_MIN`] on the whole, gets the
/// response cut off: its memory is released then, whatever server has the body.
pub(crate) struct HeldBody {
    held: Arc<Mutex<Held>>,
    unsent: Arc<Unsent>,
    first: Option<Bytes>,
    is_over: bool,
    /// Pieces since the task yielded.
    pieces: u32,
    watch: Option<AbortHandle>,
}

struct Held {
    unsent: Arc<Unsent>,
    /// `None` once all is encoded, or once the response is cut off.
    rest: Option<(Box<dyn PieceSource>, Charge)>,
    is_cut: bool,
    taken_at: Instant,
    taken_bytes: u64,
}

impl HeldBody {
    /// Encodes the first piece. A response of one piece is a full body, so it has a known length.
    pub(crate) fn begin(
        source: impl PieceSource + 'static,
        charge: Charge,
        metrics: &Metrics,
    ) -> Body {
        let rest = Some((Box::new(source) as Box<dyn PieceSource>, charge));
        let unsent = Arc::<Unsent>::default();
        let mut held = Held {
            unsent: Arc::clone(&unsent),
            rest,
            is_cut: false,
            taken_at: Instant::now(),
            taken_bytes: 0,
        };
        let first = held.next();
        if held.rest.is_none() {
            return first.map_or_else(Body::empty, Body::full);
        }
        let held = Arc::new(Mutex::new(held));
        let watch = tokio::runtime::Handle::try_current().map(|runtime| {
            runtime.spawn(watch(Arc::downgrade(&held), metrics.clone())).abort_handle()
        });
        Body::stream(HeldBody { held, unsent, first, is_over: false, pieces: 0, watch: watch.ok() })
    }
}

impl BodyStream for HeldBody {
    fn poll_piece(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, StreamInterrupted>>> {
        if self.first.is_none() && self.unsent.is_full(cx) {
            self.pieces = 0;
            return Poll::Pending;
        }
        if self.pieces >= PIECES_PER_TURN {
            self.pieces = 0;
            // The server writes what it has, and other connections share the core.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.pieces += 1;
        let this = &mut *self;
        let mut held = lock(&this.held);
        if held.is_cut {
            this.is_over = true;
            return Poll::Ready(Some(Err(StreamInterrupted)));
        }
        let piece = this.first.take().or_else(|| held.next());
        held.taken_at = Instant::now();
        held.taken_bytes += piece.as_ref().map_or(0, Bytes::len) as u64;
        this.is_over = held.rest.is_none();
        Poll::Ready(piece.map(Ok))
    }

    fn is_over(&self) -> bool {
        self.is_over
    }

    fn slot(&mut self) -> Option<&mut dyn Any> {
        None
    }
}

impl Drop for HeldBody {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.abort();
        }
    }
}

impl Held {
    fn next(&mut self) -> Option<Bytes> {
        let (source, charge) = self.rest.as_mut()?;
        let mut text = Vec::with_capacity(PIECE_BYTES_MAX + PIECE_BYTES_MAX / 2);
        let more = source.encode(&mut text);
        let kept = if more { source.held_bytes() } else { 0 };
        // The piece keeps a part of the charge until the server has written it.
        let of_piece = charge.split_rest(kept, text.capacity());
        charge.shrink(kept.saturating_add(PIECE_BYTES_MAX));
        if !more {
            self.rest = None;
        }
        self.unsent.bytes.fetch_add(text.len(), Ordering::Relaxed);
        let unsent = Arc::clone(&self.unsent);
        Some(Bytes::from_owner(ChargedPiece { text, _charge: of_piece, unsent }))
    }

    /// The time at which the response is cut off unless the client takes more.
    fn deadline(&self, begun: Instant) -> Instant {
        let by_rate =
            Duration::from_millis(self.taken_bytes.saturating_mul(1_000) / RESPONSE_RATE_MIN);
        (self.taken_at + STALL_TIME_MAX).min(begun + STALL_TIME_MAX + by_rate)
    }
}

/// A piece that holds its charge until the last reference to its bytes is dropped.
struct ChargedPiece {
    text: Vec<u8>,
    _charge: Option<Charge>,
    unsent: Arc<Unsent>,
}

/// The bytes of a response that the server has taken and not written yet.
#[derive(Default)]
struct Unsent {
    bytes: AtomicUsize,
    /// The task that waits until some are written.
    waker: AtomicWaker,
}

impl Unsent {
    /// Returns `true` if no more bytes may be taken now. Then the task is woken when they may.
    fn is_full(&self, cx: &mut Context<'_>) -> bool {
        let is_full = || self.bytes.load(Ordering::Acquire) >= UNSENT_BYTES_MAX;
        if !is_full() {
            return false;
        }
        self.waker.register(cx.waker());
        // They may have been written in between.
        is_full()
    }
}

impl Drop for ChargedPiece {
    fn drop(&mut self) {
        self.unsent.bytes.fetch_sub(self.text.len(), Ordering::AcqRel);
        self.unsent.waker.wake();
    }
}

impl AsRef<[u8]> for ChargedPiece {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// Cuts a response off whose client takes it too slowly. A server polls no body whose client accepts nothing, so
/// this is a task of its own.
async fn watch(held: Weak<Mutex<Held>>, metrics: Metrics) {
    let begun = Instant::now();
    loop {
        let Some(body) = held.upgrade() else { return };
        let deadline = {
            let mut held = lock(&body);
            if held.rest.is_none() {
                return;
            }
            let deadline = held.deadline(begun);
            if deadline <= Instant::now() {
                held.is_cut = true;
                metrics.responses_cut.inc();
                tracing::debug!("a client took a page too slowly");
                // Dropped after the lock is released.
                let rest = mem::take(&mut held.rest);
                drop(held);
                drop(rest);
                return;
            }
            deadline
        };
        drop(body);
        sleep_until(deadline).await;
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}
