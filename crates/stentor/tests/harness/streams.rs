//! The ways in which streams get to their sockets.

use super::Server;

/// How a server writes streams over HTTP/1. The contract is one, so its tests loop over these.
#[derive(Clone, Copy, Debug)]
pub enum Streams {
    /// Sockets are taken over, and a shard for each core writes them.
    ByShards,
    /// The same with a single core.
    ByOneShard,
    /// The same with more of them than there are cores.
    ByManyShards,
    /// As bodies of ordinary answers, as over HTTP/2.
    AsBodies,
}

impl Streams {
    /// Both ways.
    pub const BOTH: [Streams; 2] = [Streams::ByShards, Streams::AsBodies];
    /// Both, and those in which it matters how many share the work.
    pub const ALL: [Streams; 4] =
        [Streams::ByShards, Streams::ByOneShard, Streams::ByManyShards, Streams::AsBodies];

    /// `stentor serve` with its log on disk.
    pub async fn on_disk(self) -> Server {
        self.with(&[]).await
    }

    /// `stentor serve --memory`.
    pub async fn in_memory(self) -> Server {
        self.with(&["--memory"]).await
    }

    /// `stentor serve` with these options.
    pub async fn with(self, options: &[&str]) -> Server {
        // Shown with a test that fails.
        eprintln!("streams: {self:?}");
        let own: &[&str] = match self {
            Streams::ByShards => &[],
            Streams::ByOneShard => &["--shards", "1"],
            Streams::ByManyShards => &["--shards", "5"],
            Streams::AsBodies => &["--no-takeover"],
        };
        Server::with(&[&["serve"], own, options].concat()).await
    }
}
