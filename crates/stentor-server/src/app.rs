//! Whatever answers requests: what [`serve`](crate::serve) takes.

use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tower_service::Service;

use crate::body::BoxError;

/// A service that answers HTTP requests: a [`Stentor`](crate::Stentor), an axum `Router`, or any
/// other `tower` service, guarded or not. It is never implemented by hand.
pub trait App: Clone + Send + Unpin + 'static {
    /// The body of its answers.
    type Body: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// Answers a request.
    fn answer(&mut self, request: Request<Incoming>) -> Answer<Self::Body>;
}

/// An answer to come.
pub type Answer<B> = Pin<Box<dyn Future<Output = Result<Response<B>, AnswerError>> + Send>>;

/// A service that failed instead of answering; its connection is closed.
#[derive(Debug, thiserror::Error)]
#[error("the service failed: {0}")]
pub struct AnswerError(BoxError);

impl<S, B> App for S
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Unpin + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Body = B;

    fn answer(&mut self, request: Request<Incoming>) -> Answer<B> {
        // These services are always ready: each connection has a clone of its own.
        let answer = self.call(request);
        Box::pin(async move { answer.await.map_err(|error| AnswerError(error.into())) })
    }
}
