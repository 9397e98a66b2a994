//! [`Stentor`] as a `tower` service, and the future of its response.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use http::{Request, Response};
use tower_service::Service;

use crate::body::{Body, BoxError};
use crate::context::Stentor;
use crate::routes::fast_publish::{self, FastPublish};

/// The future of a [`Stentor`]'s response.
///
/// The most frequent request is a publish of one small event whose body arrived with its head. It is
/// handled in one poll, without an async function. Every other request is a boxed async function.
pub struct StentorFuture<B>(Kind<B>);

enum Kind<B> {
    /// Boxed, because the future is moved several times before it is polled.
    Event(Box<FastPublish<B>>),
    Other(BoxFuture<'static, Response<Body>>),
    Done,
}

impl<B> StentorFuture<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send + Unpin,
{
    pub(crate) fn begin(stentor: Stentor, request: Request<B>) -> StentorFuture<B> {
        StentorFuture(match fast_publish::topic_of(&stentor, &request) {
            Some(topic) => Kind::Event(Box::new(FastPublish::new(stentor, topic, request))),
            None => Kind::Other(async move { stentor.handle(request).await }.boxed()),
        })
    }
}

impl<B> Future for StentorFuture<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send + Unpin,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Kind::Event(_) = self.0
            && let Kind::Event(publish) = std::mem::replace(&mut self.0, Kind::Done)
        {
            match publish.step(cx) {
                Ok(response) => return Poll::Ready(Ok(response)),
                Err(rest) => self.0 = Kind::Other(rest),
            }
        }
        match &mut self.0 {
            Kind::Other(response) => response.as_mut().poll(cx).map(Ok),
            Kind::Event(_) | Kind::Done => Poll::Pending,
        }
    }
}

impl<B> Service<Request<B>> for Stentor
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send + Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = StentorFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> StentorFuture<B> {
        StentorFuture::begin(self.clone(), request)
    }
}
