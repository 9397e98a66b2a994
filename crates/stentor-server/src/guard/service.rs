//! The [`Guard`] as a `tower` service around another one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body_util::Either;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::rules::{Admission, Guard};
use crate::body::Body;

impl Guard {
    /// Wraps a service, so that only admitted requests reach it.
    pub fn wrap<S>(&self, inner: S) -> Guarded<S> {
        Guarded { guard: self.clone(), inner }
    }
}

/// A service that gets only the requests its [`Guard`] admits.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    guard: Guard,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: http_body::Body<Data = bytes::Bytes>,
{
    type Response = Response<GuardedBody<R>>;
    type Error = S::Error;
    type Future = GuardedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.guard.admit(&request) {
            Ok(admission) => {
                GuardedFuture { inner: Some(self.inner.call(request)), admission, instead: None }
            }
            Err(instead) => GuardedFuture {
                inner: None,
                admission: Admission::default(),
                instead: Some(instead),
            },
        }
    }
}

pin_project! {
    /// The response future of [`Guarded`].
    #[derive(Debug)]
    pub struct GuardedFuture<F> {
        // The future of the wrapped service, for an admitted request.
        #[pin]
        inner: Option<F>,
        admission: Admission,
        // The guard's own response, for any other request.
        instead: Option<Box<Response<Body>>>,
    }
}

impl<F, R, E> Future for GuardedFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<GuardedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let guarded = self.project();
        if let Some(inner) = guarded.inner.as_pin_mut() {
            let mut response = ready!(inner.poll(cx))?;
            guarded.admission.add_headers(response.headers_mut());
            return Poll::Ready(Ok(response.map(Either::Left)));
        }
        match guarded.instead.take() {
            Some(response) => Poll::Ready(Ok(response.map(Either::Right))),
            None => Poll::Pending,
        }
    }
}

/// The response body of [`Guarded`]: the wrapped service's, or the guard's own.
pub type GuardedBody<R> = Either<R, Body>;
