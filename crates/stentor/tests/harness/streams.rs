//! The implementations of streams.

use super::Server;

/// The implementation that writes streams over HTTP/1. The contract holds for each, so its tests loop over them.
#[derive(Clone, Copy, Debug)]
pub enum StreamMode {
    /// A shard on each core writes to sockets taken over from hyper.
    Shards,
    /// One shard writes to sockets taken over from hyper.
    OneShard,
    /// More shards than cores write to sockets taken over from hyper.
    ManyShards,
    /// Streams are bodies of ordinary responses, as over HTTP/2.
    Bodies,
}

impl StreamMode {
    /// The two implementations.
    pub const BOTH: [StreamMode; 2] = [StreamMode::Shards, StreamMode::Bodies];
    /// The two implementations, the first with different numbers of shards.
    pub const ALL: [StreamMode; 4] =
        [StreamMode::Shards, StreamMode::OneShard, StreamMode::ManyShards, StreamMode::Bodies];

    /// Runs `stentor serve` with its log on disk.
    pub async fn on_disk(self) -> Server {
        self.with(&[]).await
    }

    /// Runs `stentor serve --memory`.
    pub async fn in_memory(self) -> Server {
        self.with(&["--memory"]).await
    }

    /// Runs `stentor serve` with these options.
    pub async fn with(self, options: &[&str]) -> Server {
        // Shown with a test that fails.
        eprintln!("streams: {self:?}");
        let own: &[&str] = match self {
            StreamMode::Shards => &[],
            StreamMode::OneShard => &["--shards", "1"],
            StreamMode::ManyShards => &["--shards", "5"],
            StreamMode::Bodies => &["--no-takeover"],
        };
        Server::with(&[&["serve"], own, options].concat()).await
    }
}
