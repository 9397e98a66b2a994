//! Connections beyond the maximum: one response that says so, then the close.

use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use http::header::CONNECTION;
use http::{HeaderValue, Method, Request, Response, Version};
use http_body_util::Either;
use tokio::time::timeout;
use tower_service::Service;

use super::lazy::LazyStream;
use super::stop::Stop;
use super::{Terms, run};
use crate::body::Body;
use crate::capacity::AtCapacity;
use crate::http_service::{HttpService, ServiceError};
use crate::inbound::InboundBody;
use crate::problem::Problem;

/// Maximum time for the request and the response of a refused connection.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(2);

/// Answers one request with a refusal, and closes the connection.
///
/// An `EventSource` never reconnects after a 503. So a request for a stream gets a stream with only a `retry:`.
/// Health checks and metrics are answered as usual.
pub(crate) async fn refuse(stream: LazyStream, service: impl HttpService, stop: Stop) {
    let terms = Terms { by_shard: None, idle_timeout: REFUSAL_TIME_MAX };
    // Both ends of the timeout close the connection.
    let _ = timeout(REFUSAL_TIME_MAX, run(stream, Refusing(service), stop, terms, None)).await;
}

/// The service of a refused connection.
#[derive(Clone)]
struct Refusing<S>(S);

impl<S: HttpService> Service<Request<InboundBody>> for Refusing<S> {
    type Response = Response<Either<S::ResponseBody, Body>>;
    type Error = ServiceError;
    type Future = BoxFuture<'static, Result<Self::Response, ServiceError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ServiceError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<InboundBody>) -> Self::Future {
        let version = request.version();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let response = reads.then(|| {
            request.extensions_mut().insert(AtCapacity);
            self.0.clone().respond(request)
        });
        async move {
            let mut response = match response {
                Some(response) => response.await?.map(Either::Left),
                None => Problem::too_many_connections().into_response().map(Either::Right),
            };
            if version < Version::HTTP_2 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
        .boxed()
    }
}
