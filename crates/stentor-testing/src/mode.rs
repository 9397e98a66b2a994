//! The implementations of streams.

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

    /// Returns the number of shards; `None` for the default, which is one for each core.
    pub fn shards(self) -> Option<usize> {
        match self {
            StreamMode::Shards | StreamMode::Bodies => None,
            StreamMode::OneShard => Some(1),
            StreamMode::ManyShards => Some(5),
        }
    }

    /// Returns `true` if sockets are taken over from hyper.
    pub fn has_takeover(self) -> bool {
        !matches!(self, StreamMode::Bodies)
    }
}
