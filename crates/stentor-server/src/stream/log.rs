//! The log line about the end of a stream, at the level `debug`.

use http::{Method, Uri};
use tokio::time::Instant;

/// A stream that is open. Dropping it logs the end of the stream.
#[derive(Debug)]
pub(crate) struct StreamLog {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) status: u16,
    /// Time of the request.
    pub(crate) start: Instant,
    /// Number of bytes of the body that were sent. `None` if they are not counted for each stream.
    pub(crate) bytes: Option<u64>,
}

impl Drop for StreamLog {
    fn drop(&mut self) {
        let (method, path, status) = (&self.method, self.uri.path(), self.status);
        let (duration, bytes) = (self.start.elapsed(), self.bytes);
        tracing::debug!(%method, path, status, ?duration, bytes, "request, stream ended");
    }
}
