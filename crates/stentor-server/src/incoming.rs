//! The body of a request while it comes in: bounded in silence and memory.

use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::request::Parts;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::body::RequestBody;
use crate::budget::Share;
use crate::context::Stentor;
use crate::problem::Problem;

/// After an early answer the rest of a body is read and discarded, so that the client gets the
/// answer and not a reset: so many bytes and so long at most.
const DISCARD_BYTES_MAX: usize = 16 << 20;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);

/// A body on its way in. Dropped before its end, the rest is read and discarded.
pub(crate) struct Incoming {
    body: Option<RequestBody>,
    share: Share,
    /// The client waits for our word before it sends anything (`Expect: 100-continue`).
    expects: bool,
}

impl Incoming {
    pub(crate) fn of(stentor: &Stentor, request: &Parts, body: RequestBody) -> Incoming {
        Incoming::new(stentor, request.headers.contains_key(EXPECT), body)
    }

    pub(crate) fn new(stentor: &Stentor, expects: bool, body: RequestBody) -> Incoming {
        Incoming { share: stentor.budget().share(), expects, body: Some(body) }
    }

    /// Reads the whole body, of at most so many bytes.
    pub(crate) async fn whole(
        &mut self,
        limit: usize,
        silence: Duration,
    ) -> Result<Vec<u8>, Problem> {
        let hint = self.body.as_ref().map(http_body::Body::size_hint).unwrap_or_default();
        let known = hint.exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        if known.is_some_and(|bytes| bytes > limit) {
            return Err(Problem::too_large("the body", limit));
        }
        // A body of known length has its place before it is read.
        self.share.hold(known.unwrap_or_default()).await;
        let mut whole = Vec::with_capacity(known.unwrap_or_default());
        loop {
            let Ok(piece) = timeout(silence, self.piece()).await else {
                return Err(silent(silence));
            };
            let Some(piece) = piece? else { return Ok(whole) };
            if whole.len() + piece.len() > limit {
                return Err(Problem::too_large("the body", limit));
            }
            if known.is_none() {
                self.share.hold(whole.len() + piece.len()).await;
            }
            whole.extend_from_slice(&piece);
        }
    }

    /// The next piece, however long it takes; `None` at a clean end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let Some(body) = &mut self.body else { return Ok(None) };
            self.expects = false;
            match body.frame().await {
                None => {
                    self.body = None;
                    return Ok(None);
                }
                // Trailers say nothing to us.
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
                Some(Err(error)) => {
                    self.body = None;
                    let detail = format!("the body broke off ({error}); send it whole");
                    return Err(Problem::incomplete_body(detail));
                }
            }
        }
    }

    /// Holds so many bytes of the memory that bodies share; waits for room if that is more than before.
    pub(crate) async fn hold(&mut self, bytes: usize) {
        self.share.hold(bytes).await;
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !self.expects && !body.is_end_stream())
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(timeout(DISCARD_TIME_MAX, discard(body)));
        }
    }
}

async fn discard(mut body: RequestBody) {
    let mut left = DISCARD_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

fn silent(silence: Duration) -> Problem {
    let detail =
        format!("the body was silent for {} s; send it without a break", silence.as_secs());
    Problem::body_timeout(detail)
}
