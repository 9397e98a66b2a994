//! The services that [`serve`](crate::serve) can run.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tower_service::Service;

use crate::body::BoxError;

/// A `tower` service that handles HTTP requests: a [`Stentor`](crate::Stentor), an axum `Router`, or
/// either of them in a [`Guard`](crate::Guard).
///
/// The trait is implemented for every `tower` service that can be cloned, is always ready, and has a
/// future that is `Unpin` (a boxed future is). Do not implement it by hand.
pub trait HttpService: Clone + Send + Unpin + 'static {
    /// The body of the responses.
    type ResponseBody: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// The future of a response.
    type Future: Future<Output = Result<Response<Self::ResponseBody>, ServiceError>>
        + Send
        + Unpin
        + 'static;

    /// Handles a request.
    fn respond(&mut self, request: Request<Incoming>) -> Self::Future;
}

/// A service returned an error instead of a response. The server closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("the service failed: {0}")]
pub struct ServiceError(BoxError);

impl<S, B> HttpService for S
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + Unpin + 'static,
    S::Future: Send + Unpin + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type ResponseBody = B;
    type Future = ServiceFuture<S::Future>;

    fn respond(&mut self, request: Request<Incoming>) -> ServiceFuture<S::Future> {
        // `poll_ready` is not called: each connection has its own clone, and these services are always
        // ready.
        ServiceFuture(self.call(request))
    }
}

/// The future of an [`HttpService`]'s response.
#[derive(Debug)]
pub struct ServiceFuture<F>(F);

impl<F, R, E> Future for ServiceFuture<F>
where
    F: Future<Output = Result<R, E>> + Unpin,
    E: Into<BoxError>,
{
    type Output = Result<R, ServiceError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(|error| ServiceError(error.into()))
    }
}
