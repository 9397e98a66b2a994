//! Whatever answers requests: what [`serve`](crate::serve) takes.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tower_service::Service;

use crate::body::BoxError;

/// A service that answers HTTP requests: a [`Stentor`](crate::Stentor), an axum `Router`, or any
/// other `tower` service whose future is `Unpin` (a box is), guarded or not. It is never implemented
/// by hand.
pub trait App: Clone + Send + Unpin + 'static {
    /// The body of its answers.
    type Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// An answer to come.
    type Answer: Future<Output = Result<Response<Self::Body>, AnswerError>> + Send + Unpin + 'static;

    /// Answers a request.
    fn answer(&mut self, request: Request<Incoming>) -> Self::Answer;
}

/// A service that failed instead of answering; its connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("the service failed: {0}")]
pub struct AnswerError(BoxError);

impl<S, B> App for S
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Unpin + 'static,
    S::Future: Send + Unpin + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;
    type Answer = Answer<S::Future>;

    fn answer(&mut self, request: Request<Incoming>) -> Answer<S::Future> {
        // These services are always ready: each connection has a clone of its own.
        Answer(self.call(request))
    }
}

/// The answer to come of a service.
#[derive(Debug)]
pub struct Answer<F>(F);

impl<F, R, E> Future for Answer<F>
where
    F: Future<Output = Result<R, E>> + Unpin,
    E: Into<BoxError>,
{
    type Output = Result<R, AnswerError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|error| AnswerError(error.into()))
    }
}
