//! The most frequent request: `POST /topics/{topic}` with one small event and nothing else said.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use stentor_hub::{Event, Publish, Published, TopicName};

use crate::ahead::{Ahead, Polled};
use crate::body::{Body, BoxError};
use crate::content::Content;
use crate::context::Stentor;
use crate::idempotency::IDEMPOTENCY_KEY;
use crate::incoming::Incoming;
use crate::path;
use crate::problem::Problem;
use crate::routes::publish::append;
use crate::routes::publish::options::Options;

/// The largest body that is looked for within what came with the head.
const BODY_BYTES_MAX: u64 = 64 << 10;
/// The largest map of headers that is used again for the answer, by how many it has room for.
const HEADERS_MAX: usize = 32;

/// A publish of one event under no options. If its body is there as a whole and the log answers at
/// once, so does [`EventPublish::step`], with no task woken, nothing boxed, no timer set and no share
/// taken of the memory for bodies. If not, [`publish`] does the rest.
pub(crate) struct EventPublish<B> {
    stentor: Stentor,
    topic: TopicName,
    /// Of the request; those of the answer take its place.
    headers: HeaderMap,
    body: B,
}

impl<B> EventPublish<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send + Unpin,
{
    /// Takes on a request that has such a topic.
    pub(crate) fn begin(stentor: Stentor, topic: TopicName, request: Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        EventPublish { stentor, topic, headers: parts.headers, body }
    }

    /// Answers now, or returns what is left to do.
    pub(crate) fn step(
        mut self,
        cx: &mut Context<'_>,
    ) -> Result<Response<Body>, BoxFuture<'static, Response<Body>>> {
        let data = match self.whole(cx) {
            Ok(data) => data,
            Err(ahead) => return Err(self.read(ahead).boxed()),
        };
        let event = match Content::Text.data(data) {
            Ok(data) => Event::new(data),
            Err(problem) => return Ok(self.settle(Err(problem))),
        };
        let publish = Publish::event(self.topic.clone(), event);
        match self.stentor.hub().publish_now(publish) {
            Ok(published) => Ok(self.settle(published.map_err(Problem::from))),
            Err(publish) => Err(self.wait(publish).boxed()),
        }
    }

    /// The body, if it is there as a whole.
    fn whole(&mut self, cx: &mut Context<'_>) -> Result<Vec<u8>, Polled<B::Error>> {
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
                // A copy, for the log is not to hold what hyper reads into.
                frame.data_ref().map(|data| data.to_vec()).ok_or(polled)
            }
            _ => Err(polled),
        }
    }

    /// Goes on with a body that is still coming.
    async fn read(self, first: Polled<B::Error>) -> Response<Body> {
        let EventPublish { stentor, topic, body, .. } = self;
        let incoming = Incoming::new(&stentor, false, Ahead::new(first, body).boxed_unsync());
        let answer = append::single(&stentor, Options::of(topic), &Content::Text, incoming).await;
        stentor.metrics().count_publish(&answer);
        answer.unwrap_or_else(Problem::into_response)
    }

    /// Goes on with a log that does not answer at once.
    async fn wait(self, publish: Publish) -> Response<Body> {
        let published = self.stentor.hub().publish(publish).await;
        self.settle(published.map_err(Problem::from))
    }

    fn settle(self, published: Result<Published, Problem>) -> Response<Body> {
        self.stentor.metrics().count_publish(&published);
        let published = match published {
            Ok(published) => published,
            Err(problem) => return problem.into_response(),
        };
        self.stentor.metrics().published.inc();
        let mut headers = self.headers;
        headers.clear();
        if headers.capacity() > HEADERS_MAX {
            headers = HeaderMap::new();
        }
        append::done_in(headers, StatusCode::CREATED, &self.topic, published.first)
    }
}

/// The topic, if the request is such a publish and nothing is wrong with it so far.
pub(crate) fn topic_of<B>(stentor: &Stentor, request: &Request<B>) -> Option<TopicName>
where
    B: http_body::Body,
{
    let raw = request.uri().path().strip_prefix("/topics/")?;
    let plain = matches!(*request.method(), Method::POST | Method::PUT)
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
    // What is wrong with the name, the others say.
    if plain { path::topic(raw).ok() } else { None }
}
