//! What can be set.

use std::time::Duration;

/// How a [`Stentor`](crate::Stentor) answers. The defaults are those of the server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Silence after which a stream gets a sign of life, give or take a fifth: 15 s.
    pub keep_alive: Duration,
    /// How long an idempotency key is remembered: 10 min.
    pub key_window: Duration,
    /// How long the body of a single publish may be silent: 30 s.
    pub body_silence: Duration,
    /// Bytes of bodies in flight, of all requests together: 256 MiB.
    pub body_bytes_max: usize,
    /// Where the console is; `None` leaves it out. A path without a trailing slash but for `/`.
    pub console: Option<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            keep_alive: Duration::from_secs(15),
            key_window: Duration::from_mins(10),
            body_silence: Duration::from_secs(30),
            body_bytes_max: 256 << 20,
            console: Some("/".to_owned()),
        }
    }
}
