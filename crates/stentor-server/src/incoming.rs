//! The body of a request while it arrives, with limits on silence and memory.

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::body::RequestBody;
use crate::budget::{NoRoom, Reservation};
use crate::context::Stentor;
use crate::limits::DRAIN_GRACE;
use crate::pace::Pace;
use crate::problem::{Code, Problem};

/// A request body that arrives. If it is dropped before its end, the server reads and discards the rest:
/// see [`KeptBody`](crate::inbound::KeptBody).
pub(crate) struct IncomingBody {
    body: Option<RequestBody>,
    reservation: Reservation,
    drain: DrainLimit,
}

impl IncomingBody {
    pub(crate) fn new(stentor: &Stentor, body: RequestBody) -> IncomingBody {
        let reservation = stentor.budget().reservation();
        let drain = DrainLimit { drain: stentor.drain().clone(), deadline: None };
        IncomingBody { reservation, drain, body: Some(body) }
    }

    /// Reads the whole body. Its memory is reserved as it arrives.
    ///
    /// # Errors
    ///
    /// 413 if it has more than `limit` bytes, 408 if it misses its [`Pace`], 400 if it breaks off, 503 if there is no
    /// memory for it, or if the server drains and the body does not end within [`DRAIN_GRACE`].
    pub(crate) async fn read_all(
        &mut self,
        limit: usize,
        mut pace: Pace,
    ) -> Result<Vec<u8>, Problem> {
        let hint = self.body.as_ref().map(http_body::Body::size_hint).unwrap_or_default();
        let known = hint.exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if known.is_some_and(|bytes| bytes > limit) {
            return Err(Problem::too_large("the body", limit));
        }
        let mut whole = Vec::new();
        loop {
            let Ok(chunk) = timeout_at(pace.deadline(), self.chunk()).await else {
                return Err(pace.missed());
            };
            let Some(chunk) = chunk? else { return Ok(whole) };
            let bytes = whole.len() + chunk.len();
            if bytes > limit {
                return Err(Problem::too_large("the body", limit));
            }
            pace.arrived(bytes);
            if bytes > whole.capacity() {
                let capacity = grown(whole.capacity(), bytes, known.unwrap_or(limit));
                let start = Instant::now();
                self.reservation.resize(capacity).await?;
                pace.leave_out_since(start);
                whole.reserve_exact(capacity - whole.len());
            }
            whole.extend_from_slice(&chunk);
        }
    }

    /// Waits for the next chunk, without a timeout unless the server drains. Returns `None` at a clean end.
    ///
    /// Cancel safe: a chunk is either returned or still in the body.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let Some(body) = &mut self.body else { return Ok(None) };
            if self.drain.is_over() {
                return Err(Problem::draining());
            }
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                () = self.drain.over() => return Err(Problem::draining()),
            };
            match frame {
                None => {
                    self.body = None;
                    return Ok(None);
                }
                // Trailers are ignored.
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data() {
                        return Ok(Some(chunk));
                    }
                }
                Some(Err(error)) => {
                    self.body = None;
                    let detail = format!("the body broke off ({error}); send it again");
                    return Err(Problem::of(Code::Body, detail));
                }
            }
        }
    }

    /// Reserves `bytes` in total for this body. Waits for room if that is more than before.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if there is none in time.
    pub(crate) async fn reserve(&mut self, bytes: usize) -> Result<(), NoRoom> {
        self.reservation.resize(bytes).await
    }

    /// Reserves `bytes` in total for this body. Returns `false` if there is no room now.
    pub(crate) fn try_reserve(&mut self, bytes: usize) -> bool {
        self.reservation.try_resize(bytes)
    }

    /// Splits off the reservation of `bytes` of this body that are about to be published. It is the guard of that
    /// publish.
    pub(crate) fn queue(&self, bytes: usize) -> Reservation {
        self.reservation.split(bytes)
    }
}

/// Limits how long a body may go on arriving when the server drains.
struct DrainLimit {
    drain: CancellationToken,
    /// Set when the drain is noticed.
    deadline: Option<Instant>,
}

impl DrainLimit {
    /// Returns `true` if the server drains and the time for this body is over.
    fn is_over(&mut self) -> bool {
        self.drain.is_cancelled() && Instant::now() >= self.deadline()
    }

    /// Waits until the time is over. Cancel safe.
    async fn over(&mut self) {
        self.drain.cancelled().await;
        sleep_until(self.deadline()).await;
    }

    fn deadline(&mut self) -> Instant {
        *self.deadline.get_or_insert_with(|| Instant::now() + DRAIN_GRACE)
    }
}

/// Returns the capacity of a buffer of `capacity` bytes that must hold at least `bytes` and at most `bytes_max`.
fn grown(capacity: usize, bytes: usize, bytes_max: usize) -> usize {
    /// Below this size a buffer has just the bytes that it needs.
    const GROWTH_MIN: usize = 16 << 10;
    if bytes < GROWTH_MIN {
        return bytes;
    }
    // Twice as much, so that the bytes are moved a few times only.
    (2 * capacity).max(GROWTH_MIN).min(bytes_max).max(bytes)
}
