//! The services that [`serve`](crate::serve) can run.

use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::{Request, Response};
use tower_service::Service;

use crate::body::BoxError;
use crate::inbound::InboundBody;

/// A `tower` service that handles HTTP requests: a [`Stentor`](crate::Stentor), an axum `Router`, or
/// either of them in a [`Guard`](crate::Guard) or in a `tower` layer.
///
/// The trait is implemented for every `tower` service that can be cloned and has a future that is
/// `Unpin` (a boxed future is). Each request gets a clone of its own, and is passed to it once the clone
/// is ready. Do not implement the trait by hand.
pub trait HttpService: Clone + Send + Unpin + 'static {
    /// The body of the responses.
    type ResponseBody: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// The future of a response.
    type Future: Future<Output = Result<Response<Self::ResponseBody>, ServiceError>>
        + Send
        + Unpin
        + 'static;

    /// Waits until the service is ready, then handles a request.
    fn respond(self, request: Request<InboundBody>) -> Self::Future;
}

/// A service returned an error instead of a response. The client gets 503.
#[derive(Debug, thiserror::Error)]
#[error("the service failed: {0}")]
pub struct ServiceError(BoxError);

impl<S, B> HttpService for S
where
    S: Service<Request<InboundBody>, Response = Response<B>> + Clone + Send + Unpin + 'static,
    S::Future: Send + Unpin + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type ResponseBody = B;
    type Future = ServiceFuture<S, S::Future>;

    fn respond(mut self, request: Request<InboundBody>) -> ServiceFuture<S, S::Future> {
        // Nearly every service is always ready. If this one is not, `ServiceFuture::poll` asks again
        // with the waker of its task.
        ServiceFuture(match self.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => State::Running(self.call(request)),
            Poll::Ready(Err(error)) => State::Failed(Some(error.into())),
            Poll::Pending => State::Waiting(Some(Box::new((self, request)))),
        })
    }
}

/// The future of an [`HttpService`]'s response.
pub struct ServiceFuture<S, F>(State<S, F>);

enum State<S, F> {
    Running(F),
    /// The service is not ready.
    Waiting(Option<Box<(S, Request<InboundBody>)>>),
    Failed(Option<BoxError>),
}

impl<S, F, R, E> Future for ServiceFuture<S, F>
where
    S: Service<Request<InboundBody>, Response = R, Error = E, Future = F> + Unpin,
    F: Future<Output = Result<R, E>> + Unpin,
    E: Into<BoxError>,
{
    type Output = Result<R, ServiceError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut self.0 {
                State::Running(response) => {
                    let response = Pin::new(response).poll(cx);
                    return response.map_err(|error| ServiceError(error.into()));
                }
                State::Waiting(waiting) => {
                    let Some((service, _)) = waiting.as_deref_mut() else { return Poll::Pending };
                    let ready = ready!(service.poll_ready(cx));
                    let Some(waiting) = waiting.take() else { return Poll::Pending };
                    let (mut service, request) = *waiting;
                    ready.map_err(|error| ServiceError(error.into()))?;
                    self.0 = State::Running(service.call(request));
                }
                State::Failed(error) => {
                    return match error.take() {
                        Some(error) => Poll::Ready(Err(ServiceError(error))),
                        None => Poll::Pending,
                    };
                }
            }
        }
    }
}
