//! One log line for each request, at the level `debug`.

use http::{Method, Request, Response, Uri};
use tokio::time::Instant;
use tracing::Level;

use crate::stream::log::StreamLog;

/// A request whose response is to be logged. Empty, and free, if the level is off.
pub(super) struct RequestLog(Option<Box<Entry>>);

struct Entry {
    method: Method,
    uri: Uri,
    start: Instant,
}

impl RequestLog {
    pub(super) fn start<B>(request: &Request<B>) -> RequestLog {
        if !tracing::enabled!(Level::DEBUG) {
            return RequestLog(None);
        }
        let (method, uri) = (request.method().clone(), request.uri().clone());
        RequestLog(Some(Box::new(Entry { method, uri, start: Instant::now() })))
    }

    /// Logs the head of the response. The query is left out, because it may hold secrets. Returns the
    /// stream, if the response is one whose end is to be logged.
    pub(super) fn end<B: http_body::Body>(
        &mut self,
        response: &Response<B>,
    ) -> Option<Box<StreamLog>> {
        let entry = self.0.take()?;
        let (method, path, status) = (entry.method, entry.uri.path(), response.status().as_u16());
        let duration = entry.start.elapsed();
        if let Some(bytes) = response.body().size_hint().exact() {
            tracing::debug!(%method, path, status, ?duration, bytes, "request");
            return None;
        }
        tracing::debug!(%method, path, status, ?duration, "request, stream opened");
        let (uri, start) = (entry.uri, entry.start);
        Some(Box::new(StreamLog { method, uri, status, start, bytes: None }))
    }
}
