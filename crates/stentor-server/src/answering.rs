//! The answer of a [`Stentor`] to come.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use http::{Request, Response};

use crate::body::{Body, BoxError};
use crate::routes::event::{self, EventPublish};
use crate::service::Stentor;

/// The answer of a [`Stentor`] to come.
///
/// What is asked most is a publish that is plain and small, whose body came with its head: that is
/// answered in one poll and without a box. All else is an async function in one.
pub struct StentorAnswer<B>(Kind<B>);

enum Kind<B> {
    Event(EventPublish<B>),
    Other(BoxFuture<'static, Response<Body>>),
    Answered,
}

impl<B> StentorAnswer<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send + Unpin,
{
    pub(crate) fn begin(stentor: Stentor, request: Request<B>) -> StentorAnswer<B> {
        StentorAnswer(match event::topic_of(&stentor, &request) {
            Some(topic) => Kind::Event(EventPublish::begin(stentor, topic, request)),
            None => Kind::Other(async move { stentor.handle(request).await }.boxed()),
        })
    }
}

impl<B> Future for StentorAnswer<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send + Unpin,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Kind::Event(_) = self.0
            && let Kind::Event(publish) = std::mem::replace(&mut self.0, Kind::Answered)
        {
            match publish.step(cx) {
                Ok(answer) => return Poll::Ready(Ok(answer)),
                Err(rest) => self.0 = Kind::Other(rest),
            }
        }
        match &mut self.0 {
            Kind::Other(answer) => answer.as_mut().poll(cx).map(Ok),
            Kind::Event(_) | Kind::Answered => Poll::Pending,
        }
    }
}
