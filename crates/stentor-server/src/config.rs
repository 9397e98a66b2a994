//! The settings of the service.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Settings of a [`Stentor`](crate::Stentor) service. The defaults are those of the `stentor` binary.
#[derive(Clone, Debug)]
pub struct Config {
    /// Time of silence after which a stream gets a keep-alive. The server varies it by up to 20 %.
    /// Default: 15 s.
    pub keep_alive: Duration,
    /// Time for which an idempotency key is remembered. Default: 10 min.
    pub key_window: Duration,
    /// Maximum time between two pieces of a request body, for single publishes and batches.
    /// Default: 30 s.
    pub body_idle_timeout: Duration,
    /// Maximum time in which the whole body of a single publish or a batch must arrive. After twice
    /// `body_idle_timeout` it must also have arrived with at least 1 KiB per second on average. Both hold for each
    /// event of an upload that is larger than 4 KiB. Default: 5 min.
    pub body_timeout: Duration,
    /// Maximum number of bytes of request bodies in memory, for all requests together. An eighth is reserved for bodies
    /// of at most 64 KiB. A body for which there is no room within 10 s is refused with 503. Default: 256 MiB.
    pub body_bytes_max: usize,
    /// Maximum number of bytes of pages of history and lists in memory, for all responses together, at
    /// least 32 MiB. Smaller values are raised. Default: 64 MiB.
    pub response_bytes_max: usize,
    /// Path of the console, without a trailing slash unless it is `/`. `None` turns the console off.
    /// Default: `/`.
    pub console: Option<String>,
    /// Number of lines that the log of your program has dropped. The metrics show it as
    /// `stentor_log_lines_dropped_total`. Default: a number that stays 0.
    pub log_lines_dropped: Arc<AtomicU64>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            keep_alive: Duration::from_secs(15),
            key_window: Duration::from_mins(10),
            body_idle_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_mins(5),
            body_bytes_max: 256 << 20,
            response_bytes_max: 64 << 20,
            console: Some("/".to_owned()),
            log_lines_dropped: Arc::default(),
        }
    }
}
