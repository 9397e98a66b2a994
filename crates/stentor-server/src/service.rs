//! The service: the whole API on one screen.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use stentor_hub::{Filters, Hub, Start, SubscribeError, Subscribed};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::answering::StentorAnswer;
use crate::body::{Body, BoxError, RequestBody};
use crate::budget::Budget;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::routes::{batch, console, delete, health, publish, read, topics};
use crate::stream::{self, StreamOptions};

/// Stentor over HTTP: a [`tower_service::Service`] over a [`Hub`]. Cheap to clone.
///
/// It looks at neither `Host` nor `Origin`: [`Guard::wrap`](crate::Guard::wrap) it, unless the
/// program around it does that.
#[derive(Clone)]
pub struct Stentor(Arc<Inner>);

struct Inner {
    hub: Hub,
    config: Config,
    metrics: Metrics,
    budget: Arc<Budget>,
    drain: CancellationToken,
}

impl Stentor {
    /// The service over a hub.
    pub fn new(hub: Hub) -> Stentor {
        Stentor::with_config(hub, Config::default())
    }

    /// The service over a hub, set up differently.
    pub fn with_config(hub: Hub, config: Config) -> Stentor {
        let metrics = Metrics::default();
        let budget = Budget::new(config.body_bytes_max, metrics.clone());
        Stentor(Arc::new(Inner { hub, config, metrics, budget, drain: CancellationToken::new() }))
    }

    /// The hub.
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Cancelled, it ends all streams cleanly, each with a `retry:` of its own, and lets
    /// `/health/ready` say no. A server hands it to [`serve`](crate::serve) too.
    pub fn drain(&self) -> &CancellationToken {
        &self.0.drain
    }

    /// Answers a reader with a stream of events, for routes of one's own.
    ///
    /// That is 204 for a reader with the receipt of the end, and for a log that cannot be read now a
    /// stream that closes at once and asks to come back, for browsers take any error to be final.
    pub async fn stream(
        &self,
        filters: Filters,
        start: Start,
        options: StreamOptions,
    ) -> Result<Response<Body>, Problem> {
        if self.is_draining() {
            return Ok(stream::come_back(options));
        }
        match self.hub().subscribe(filters, start).await {
            Ok(Subscribed::Open(subscription)) => Ok(stream::respond(self, subscription, options)),
            Ok(Subscribed::Finished) => Ok(stream::finished()),
            Err(SubscribeError::Storage(error)) => {
                tracing::warn!(%error, "a stream was turned away");
                Ok(stream::come_back(options))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What [`Stentor::stream`] would answer, without a stream: for `HEAD`.
    pub(crate) async fn stream_head(
        &self,
        filters: Filters,
        start: Start,
        options: StreamOptions,
    ) -> Result<Response<Body>, Problem> {
        match self.hub().subscribe(filters, start).await {
            Ok(Subscribed::Finished) => Ok(stream::finished()),
            Ok(Subscribed::Open(_)) | Err(SubscribeError::Storage(_)) => Ok(stream::head(options)),
            Err(error) => Err(error.into()),
        }
    }

    /// Answers a request.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let head = *request.method() == Method::HEAD;
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let response = self.route(request).await.unwrap_or_else(Problem::into_response);
        if head { response.map(|_| Body::empty()) } else { response }
    }

    async fn route(&self, request: Request<RequestBody>) -> Result<Response<Body>, Problem> {
        use Method as M;
        let (parts, body) = request.into_parts();
        let method = parts.method.clone();
        if let Some(raw) = parts.uri.path().strip_prefix("/topics/") {
            return match method {
                M::POST | M::PUT => publish::publish(self, raw, &parts, body).await,
                M::GET | M::HEAD => read::topic(self, raw, &parts).await,
                M::DELETE => delete::delete(self, raw, &parts).await,
                M::OPTIONS => Ok(health::allow("GET, HEAD, POST, PUT, DELETE")),
                _ => Err(Problem::method("GET, HEAD, POST, PUT, DELETE")),
            };
        }
        match (parts.uri.path(), method) {
            ("/topics", M::GET | M::HEAD) => topics::list(self, &parts).await,
            ("/topics", M::POST) => batch::publish(self, &parts, body).await,
            ("/topics", M::OPTIONS) => Ok(health::allow("GET, HEAD, POST")),
            ("/topics", _) => Err(Problem::method("GET, HEAD, POST")),
            ("/events", M::GET | M::HEAD) => read::events(self, &parts).await,
            ("/health/live", M::GET | M::HEAD) => Ok(health::live()),
            ("/health/ready", M::GET | M::HEAD) => health::ready(self).await,
            ("/metrics", M::GET | M::HEAD) => Ok(health::metrics(self)),
            (path, M::GET | M::HEAD) => console::page(self, path, &parts),
            (path, method) if console::is_known(self, path) => match method {
                M::OPTIONS => Ok(health::allow("GET, HEAD")),
                _ => Err(Problem::method("GET, HEAD")),
            },
            (path, _) => Err(console::no_such_path(self, path)),
        }
    }

    /// Whether both are clones of one.
    pub(crate) fn is(&self, other: &Stentor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// What tells it from others.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// How long a stream may be silent this time.
    pub(crate) fn silence(&self) -> Duration {
        self.0.config.keep_alive.mul_f64(0.8 + 0.4 * fastrand::f64())
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.0.budget
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.drain.is_cancelled()
    }
}

impl<B> Service<Request<B>> for Stentor
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send + Unpin,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = StentorAnswer<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> StentorAnswer<B> {
        StentorAnswer::begin(self.clone(), request)
    }
}
