//! Limits that hold for every connection, whether hyper or a shard writes to it.

use std::time::Duration;

/// Maximum time that output waits without a byte of progress. After that the connection is closed, or the
/// stream of HTTP/2 is reset, and the subscriber resumes by its last event id.
pub(crate) const STALL_TIME_MAX: Duration = Duration::from_secs(30);

/// Maximum size of a piece of a response body over HTTP/2, and of a stream's body. Only the acceptance of a
/// whole piece shows that a client reads, so a client must accept this much within [`STALL_TIME_MAX`].
pub(crate) const PIECE_BYTES_MAX: usize = 16 << 10;

/// Minimum rate at which a client must take a page of history or a list, in bytes for each second since
/// [`STALL_TIME_MAX`] after its begin. A slower response is cut off.
pub(crate) const RESPONSE_RATE_MIN: u64 = 16 << 10;

/// Maximum number of bytes that are read and discarded after the last byte was written. Closing a
/// socket with unread input resets the connection, and the client could lose the end of the response.
pub(crate) const LINGER_BYTES_MAX: usize = 64 << 10;

/// Maximum time for which input is discarded after the last byte was written.
pub(crate) const LINGER_TIME_MAX: Duration = Duration::from_secs(1);

/// Time for which a body may go on arriving when the server drains. Then the publisher gets a 503.
pub(crate) const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// Maximum number of bytes of a request body that are read and discarded after an early response.
pub(crate) const DISCARD_BYTES_MAX: usize = 16 << 20;

/// Maximum time for which a request body is read and discarded after an early response.
pub(crate) const DISCARD_TIME_MAX: Duration = Duration::from_secs(5);

/// Maximum time for which a request body is read and discarded after an early response while the server
/// drains. A body that arrives has [`DRAIN_GRACE`] before its response, so its connection closes 2 s after
/// the drain began at the latest.
pub(crate) const DRAIN_DISCARD_TIME_MAX: Duration = Duration::from_secs(1);
