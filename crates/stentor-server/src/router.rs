//! The router: every path and method of the HTTP API.

use bytes::Bytes;
use http::{Method, Request, Response};

use crate::body::{Body, BoxError, RequestBody};
use crate::context::Stentor;
use crate::foreign::ForeignRest;
use crate::inbound::awaits_continue;
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::{batch, console, delete, health, publish, read, topics};

impl Stentor {
    /// Handles a request. It never fails: errors are responses of the type `application/problem+json`.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let head = *request.method() == Method::HEAD;
        let (parts, body) = request.into_parts();
        let awaits_continue = awaits_continue(parts.version, &parts.headers);
        let (body, rest) = ForeignRest::keep::<B>(parts.version, awaits_continue, body);
        let response = self.route(Request::from_parts(parts, body)).await;
        let mut response = response.unwrap_or_else(Problem::into_response);
        rest.settle(self, &mut response);
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
            (path @ ("/health/live" | "/health/ready" | "/metrics"), M::GET | M::HEAD) => {
                Query::parse(parts.uri.query(), &[])?;
                match path {
                    "/health/live" => Ok(health::live()),
                    "/health/ready" => health::ready(self).await,
                    _ => Ok(health::metrics(self)),
                }
            }
            (path, M::GET | M::HEAD) => console::page(self, path, &parts),
            (path, method) if console::is_known(self, path) => match method {
                M::OPTIONS => Ok(health::allow("GET, HEAD")),
                _ => Err(Problem::method("GET, HEAD")),
            },
            (path, _) => Err(console::no_such_path(self, path)),
        }
    }
}
