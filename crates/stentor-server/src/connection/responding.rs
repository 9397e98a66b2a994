//! The future of a response, between a service and hyper.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Response, Version};
use http_body_util::Either;

use super::logged_body::LoggedBody;
use super::request_log::RequestLog;
use super::takeover::Takeover;
use crate::body::Body;
use crate::http_service::ServiceError;
use crate::inbound::Unread;
use crate::problem::Problem;
use crate::refusal_log::log_service_error;
use crate::shard::Trust;

/// The future of a response. It stays pending if the socket of the connection is to be taken over.
pub(super) struct Responding<F> {
    /// `None` once it has returned the response, and if the request is refused.
    pub(super) response: Option<F>,
    /// The refusal of the request, if the service does not get it.
    pub(super) refusal: Option<Problem>,
    pub(super) version: Version,
    pub(super) log: RequestLog,
    /// The state of the connection, for HTTP/1.1, and the responses whose socket may be taken over.
    pub(super) takeover: Option<(Takeover, Option<Trust>)>,
    /// `None` if the request has no body that the connection reads.
    pub(super) unread: Option<Unread>,
}

impl<F> Responding<F> {
    fn problem<B>(&mut self, problem: Problem) -> Response<Either<LoggedBody<B>, Body>> {
        let response = problem.into_response();
        let _ = self.log.end(&response);
        response.map(Either::Right)
    }
}

impl<F, B> Future for Responding<F>
where
    F: Future<Output = Result<Response<B>, ServiceError>> + Unpin,
    B: http_body::Body + 'static,
{
    type Output = Result<Response<Either<LoggedBody<B>, Body>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &mut self.response {
            Some(response) => Ok(ready!(Pin::new(response).poll(cx))),
            None => match self.refusal.take() {
                Some(refusal) => Err(refusal),
                None => return Poll::Pending,
            },
        };
        // It may still hold the body of the request.
        self.response = None;
        let mut response = match result {
            Ok(Ok(mut response)) => {
                let mut log = self.log.end(&response);
                let mut connection = None;
                if let Some((takeover, trust)) = self.takeover.take() {
                    if takeover.offer(&mut response, self.version, trust, &mut log) {
                        // The connection is taken apart before this future can be polled again.
                        return Poll::Pending;
                    }
                    connection = Some(takeover);
                }
                response.map(|body| Either::Left(LoggedBody { body, log, connection }))
            }
            Ok(Err(error)) => {
                log_service_error(&error);
                self.problem(Problem::unavailable())
            }
            Err(refusal) => self.problem(refusal),
        };
        if let Some(unread) = self.unread.take() {
            match self.version {
                Version::HTTP_2 => unread.discard_in_background(),
                _ => unread.settle(&mut response),
            }
        }
        Poll::Ready(Ok(response))
    }
}
