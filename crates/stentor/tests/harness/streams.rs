//! The ways in which streams get to their sockets.

use super::Server;

/// How a server writes streams over HTTP/1. The contract is one: a test of it loops over
/// [`Streams::ALL`].
#[derive(Clone, Copy, Debug)]
pub enum Streams {
    /// Sockets are taken over, and a shard for each core writes them.
    ByShards,
    /// The same with a single core.
    ByOneShard,
    /// As bodies of ordinary answers, as over HTTP/2.
    AsBodies,
}

impl Streams {
    /// Both ways.
    pub const BOTH: [Streams; 1] = [Streams::ByShards];
    /// Both, and with as many shards as matter.
    pub const ALL: [Streams; 1] = [Streams::ByShards];

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
            Streams::AsBodies => &["--no-takeover"],
        };
        Server::with(&[&["serve"], own, options].concat()).await
    }
}
