//! The fast path of `POST /topics/{topic}`: one small event without options.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use stentor_hub::{Event, Publish, Published, TopicName};

use super::publish::append::accepted_with;
use super::publish::options::PublishOptions;
use super::publish::publish_one;
use crate::body::{Body, BoxError};
use crate::content::Content;
use crate::context::Stentor;
use crate::foreign::ForeignRest;
use crate::idempotency::IDEMPOTENCY_KEY;
use crate::incoming::IncomingBody;
use crate::path;
use crate::peeked::{FramePoll, PeekedBody};
use crate::problem::Problem;

/// Maximum size of a body on the fast path, in bytes.
const BODY_BYTES_MAX: u64 = 64 << 10;
/// Maximum capacity of a request's header map that is reused for the response.
const HEADERS_MAX: usize = 32;

/// A publish of one event without options.
///
/// If the body arrived together with the head and the log commits at once, [`FastPublish::step`]
/// answers in one poll. That saves the wake-up of a task, a timer and a reservation of body memory.
/// Otherwise the code of [`publish_one`] continues.
pub(crate) struct FastPublish<B> {
    stentor: Stentor,
    topic: TopicName,
    /// The headers of the request. The map is reused for the response.
    headers: HeaderMap,
    body: B,
}

impl<B> FastPublish<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send + Unpin,
{
    /// Takes a request for which [`topic_of`] returned `topic`.
    pub(crate) fn new(stentor: Stentor, topic: TopicName, request: Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        FastPublish { stentor, topic, headers: parts.headers, body }
    }

    /// Returns the response, or a future for it if something has to be waited for.
    pub(crate) fn step(
        mut self: Box<Self>,
        cx: &mut Context<'_>,
    ) -> Result<Response<Body>, BoxFuture<'static, Response<Body>>> {
        let data = match self.whole_body(cx) {
            Ok(data) => data,
            Err(polled) => return Err(self.read_rest(polled).boxed()),
        };
        let bytes = data.len();
        let event = match Content::Text.data(data) {
            Ok(data) => Event::new(data),
            Err(problem) => return Ok(self.respond(Err(problem))),
        };
        let publish = Publish::event(self.topic.clone(), event);
        match self.stentor.hub().publish_now(publish) {
            Ok(published) => Ok(self.respond(published.map_err(Problem::from))),
            Err(publish) => Err(self.wait(publish, bytes).boxed()),
        }
    }

    /// Returns the body if all of it has arrived, else the result of polling it.
    fn whole_body(&mut self, cx: &mut Context<'_>) -> Result<Vec<u8>, FramePoll<B::Error>> {
        if self.body.is_end_stream() {
            return Ok(Vec::new());
        }
        let bytes = self.body.size_hint().upper().unwrap_or(u64::MAX);
        if !self.stentor.budget().has_room(usize::try_from(bytes).unwrap_or(usize::MAX)) {
            return Err(Poll::Pending);
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) if self.body.is_end_stream() => {
                // Copied, because an event in the log would keep hyper's whole read buffer alive.
                frame.data_ref().map(|data| data.to_vec()).ok_or(polled)
            }
            _ => Err(polled),
        }
    }

    /// Publishes a body that is still arriving.
    async fn read_rest(self: Box<Self>, first: FramePoll<B::Error>) -> Response<Body> {
        let FastPublish { stentor, topic, body, .. } = *self;
        let peeked = PeekedBody::new(first, body);
        // A small body of known length: no version or header of the request matters for the rest of it.
        let (body, rest) = ForeignRest::keep::<B>(Version::HTTP_11, false, peeked);
        let mut body = IncomingBody::new(&stentor, body);
        let options = PublishOptions::new(topic);
        let response = publish_one(&stentor, &options, &Content::Text, &mut body).await;
        drop(body);
        stentor.metrics().count_publish(&response);
        let mut response = response.unwrap_or_else(Problem::into_response);
        rest.settle(&stentor, &mut response);
        response
    }

    /// Publishes to a log that does not commit at once. The memory of the event is reserved until it is committed.
    async fn wait(mut self: Box<Self>, publish: Publish, bytes: usize) -> Response<Body> {
        let memory = match self.stentor.budget().reserve(bytes).await {
            Ok(memory) => memory,
            Err(no_room) => return self.respond(Err(no_room.into())),
        };
        let published = self.stentor.hub().publish_with_guard(publish, memory).await;
        self.respond(published.map_err(Problem::from))
    }

    fn respond(&mut self, published: Result<Published, Problem>) -> Response<Body> {
        self.stentor.metrics().count_publish(&published);
        let published = match published {
            Ok(published) => published,
            Err(problem) => return problem.into_response(),
        };
        self.stentor.metrics().published.inc();
        let mut headers = mem::take(&mut self.headers);
        headers.clear();
        if headers.capacity() > HEADERS_MAX {
            headers = HeaderMap::new();
        }
        accepted_with(headers, StatusCode::CREATED, &self.topic, published.first)
    }
}

/// Returns the topic of a request that can take the fast path.
pub(crate) fn topic_of<B>(stentor: &Stentor, request: &Request<B>) -> Option<TopicName>
where
    B: http_body::Body,
{
    let raw = request.uri().path().strip_prefix("/topics/")?;
    let is_plain = matches!(*request.method(), Method::POST | Method::PUT)
        && request.uri().query().is_none()
        && request.body().size_hint().exact().is_some_and(|bytes| bytes <= BODY_BYTES_MAX)
        && request.headers().iter().all(|(name, value)| {
            if name == CONTENT_TYPE {
                Content::is_text(value)
            } else {
                name != EXPECT && name != CONTENT_ENCODING && name != IDEMPOTENCY_KEY
            }
        })
        && !stentor.is_draining();
    // A name that is not valid is reported by the general path.
    if is_plain { path::topic(raw).ok() } else { None }
}
