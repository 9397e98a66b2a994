//! Requests from servers other than [`serve`](crate::serve), such as `axum::serve`: what a service leaves
//! unread of their bodies.

use std::any::TypeId;

use bytes::Bytes;
use http::{Response, Version};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;

use crate::body::{Body, BoxError, RequestBody};
use crate::context::Stentor;
use crate::discard::Discard;
use crate::inbound::{InboundBody, KeptBody, Unread};

/// Maximum number of bodies that a service reads and discards at once. Beyond it the bodies are dropped, and the
/// server that has the connection decides: hyper closes it.
const DISCARDS_MAX: usize = 256;

/// The unread rest of a request body.
///
/// [`serve`](crate::serve) reads the rest of an [`InboundBody`] itself. hyper, alone or under another server, would
/// close the connection, and the client could lose the response. So this crate reads the rest in a task of the
/// service.
pub(crate) struct ForeignRest(Option<(Unread<RequestBody>, Version)>);

impl ForeignRest {
    /// Boxes the body of a request. `B` is the type that the server passed.
    pub(crate) fn keep<B: 'static>(
        version: Version,
        awaits_continue: bool,
        body: impl http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    ) -> (RequestBody, ForeignRest) {
        let body = body.map_err(Into::into).boxed_unsync();
        if TypeId::of::<B>() == TypeId::of::<InboundBody>() || body.is_end_stream() {
            return (body, ForeignRest(None));
        }
        let unread = Unread::default();
        let body = KeptBody::new(body, awaits_continue, &unread).boxed_unsync();
        (body, ForeignRest(Some((unread, version))))
    }

    /// Decides about the rest, once the response is known.
    pub(crate) fn settle(self, stentor: &Stentor, response: &mut Response<Body>) {
        let Some((unread, version)) = self.0 else { return };
        if version < Version::HTTP_2 {
            unread.settle(response);
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let discards = stentor.discards();
        if discards.len() < DISCARDS_MAX
            && let Some(discard) = unread.take()
        {
            discards.spawn_on(discard_until_drained(discard, stentor.drain().clone()), &runtime);
        }
    }
}

/// Reads and discards a body within the limits, which are shorter once the server drains.
async fn discard_until_drained(mut discard: Discard<RequestBody>, drain: CancellationToken) {
    tokio::select! {
        () = &mut discard => return,
        () = drain.cancelled() => discard.hurry(),
    }
    discard.await;
}
