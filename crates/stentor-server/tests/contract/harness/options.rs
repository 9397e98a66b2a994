//! The configuration of a server.

use std::num::NonZero;
use std::path::Path;

use stentor_hub::storage::{SqliteOptions, SqliteStorage};
use stentor_hub::{Hub, KeyLimits, MemoryStorage, Retention, TopicLimits};
use stentor_server::{AllowedOrigin, Guard, ServeOptions};
use stentor_testing::StreamMode;

/// Configures a [`Server`](super::Server). The defaults are those of `stentor serve`.
#[derive(Clone)]
pub struct Options {
    in_memory: bool,
    bytes_max: Option<u64>,
    keys: Option<KeyLimits>,
    rules: Vec<(String, TopicLimits)>,
    origins: Vec<AllowedOrigin>,
    hosts: Vec<String>,
    pub mode: StreamMode,
}

impl Options {
    /// Returns the options of a server with its log in a temporary directory.
    pub fn on_disk() -> Options {
        Options {
            in_memory: false,
            bytes_max: None,
            keys: None,
            rules: Vec::new(),
            origins: Vec::new(),
            hosts: Vec::new(),
            mode: StreamMode::Shards,
        }
    }

    /// Returns the options of a server with its log in memory.
    pub fn in_memory() -> Options {
        Options { in_memory: true, ..Options::on_disk() }
    }

    /// Sets the implementation of streams.
    pub fn mode(self, mode: StreamMode) -> Options {
        Options { mode, ..self }
    }

    /// Sets the size limit of the log, in bytes.
    pub fn retain_bytes(self, bytes: u64) -> Options {
        Options { bytes_max: Some(bytes), ..self }
    }

    /// Sets the bounds of idempotency keys, for all publishers and for each address.
    pub fn keys(self, keys: u64, keys_per_address: Option<u64>) -> Options {
        let keys = KeyLimits { keys, keys_per_address, parts: 1_000 };
        Options { keys: Some(keys), ..self }
    }

    /// Limits the topics that match `pattern`.
    pub fn retain(mut self, pattern: &str, limits: TopicLimits) -> Options {
        self.rules.push((pattern.to_owned(), limits));
        self
    }

    /// Allows pages of `origin`.
    pub fn origin(mut self, origin: &str) -> Options {
        self.origins.push(origin.parse().unwrap());
        self
    }

    /// Allows requests with `host` in their `Host` header.
    pub fn host(mut self, host: &str) -> Options {
        self.hosts.push(host.to_owned());
        self
    }

    /// Opens the log, on disk in the directory `data`, and returns its hub.
    pub fn hub(&self, data: &Path) -> Hub {
        // The window is at most half of the log, so that it never has an event that the log has already deleted.
        let window =
            self.bytes_max.map_or(Hub::WINDOW_BYTES, |bytes| usize::try_from(bytes / 2).unwrap());
        let window = window.min(Hub::WINDOW_BYTES);
        if self.in_memory {
            let bytes = self
                .bytes_max
                .map_or(MemoryStorage::BYTES, |bytes| usize::try_from(bytes).unwrap());
            let keys = self.keys.unwrap_or(KeyLimits::memory());
            return Hub::with_window(MemoryStorage::with_options(bytes, keys), window);
        }
        let mut sqlite = SqliteOptions::default();
        sqlite.keys = self.keys.unwrap_or(sqlite.keys);
        sqlite.bytes_max = self.bytes_max.or(sqlite.bytes_max);
        Hub::with_window(SqliteStorage::open_with(data, sqlite).unwrap(), window)
    }

    /// Returns the limits for topics.
    pub fn retention(&self) -> Retention {
        let rules = self.rules.iter().map(|(pattern, limits)| (pattern.parse().unwrap(), *limits));
        Retention::new(rules).unwrap()
    }

    /// Returns the options of `serve_on_cores`.
    pub fn serve_options(&self) -> ServeOptions {
        let default = ServeOptions::default();
        let shards = self.mode.shards().and_then(NonZero::new).unwrap_or(default.shards);
        ServeOptions { shards, takeover: self.mode.has_takeover(), ..default }
    }

    /// Returns the guard with the allowed origins and hosts.
    pub fn guard(&self) -> Guard {
        Guard::new()
            .with_option_names("--host", "--cors-origin")
            .with_origins(self.origins.iter().cloned())
            .with_hosts(self.hosts.iter().cloned())
    }
}
