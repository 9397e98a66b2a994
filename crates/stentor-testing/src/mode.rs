//! The ways in which a stream reaches its reader.

/// The transport of streams. A shard writes all of them, and the contract holds for each.
#[derive(Clone, Copy, Debug)]
pub enum StreamMode {
    /// A shard on each core writes to sockets taken over from hyper.
    Shards,
    /// One shard writes to sockets taken over from hyper.
    OneShard,
    /// More shards than cores write to sockets taken over from hyper.
    ManyShards,
    /// The shard of each core writes into bodies of ordinary responses over HTTP/1.
    Bodies,
    /// The shard of each core writes into bodies of responses over HTTP/2.
    Http2,
    /// A shard in a thread of its own writes into the bodies of `axum::serve`.
    Axum,
}

impl StreamMode {
    /// Sockets and bodies.
    pub const BOTH: [StreamMode; 2] = [StreamMode::Shards, StreamMode::Bodies];

    /// Sockets with different numbers of shards, and bodies.
    pub const ALL: [StreamMode; 4] =
        [StreamMode::Shards, StreamMode::OneShard, StreamMode::ManyShards, StreamMode::Bodies];

    /// Returns the number of shards; `None` for the default, which is one for each core.
    pub fn shards(self) -> Option<usize> {
        match self {
            StreamMode::Shards | StreamMode::Bodies | StreamMode::Http2 | StreamMode::Axum => None,
            StreamMode::OneShard => Some(1),
            StreamMode::ManyShards => Some(5),
        }
    }

    /// Returns `true` if sockets are taken over from hyper.
    pub fn has_takeover(self) -> bool {
        !matches!(self, StreamMode::Bodies)
    }
}
