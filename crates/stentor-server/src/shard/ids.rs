//! Ids that name readers and groups of a shard.

use mio::Token;

/// Names a reader of a shard. A later reader in the same slot has another generation, so an id that is
/// out of date names no reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ReaderId {
    slot: u32,
    generation: u32,
}

impl ReaderId {
    pub(super) fn new(slot: u32, generation: u32) -> ReaderId {
        ReaderId { slot, generation }
    }

    /// Returns the slot. No other reader has it as long as this one is in the shard.
    pub(super) fn slot(self) -> u32 {
        self.slot
    }

    pub(super) fn generation(self) -> u32 {
        self.generation
    }

    /// Returns the token under which the system reports events of the reader's socket.
    pub(super) fn token(self) -> Token {
        let packed = u64::from(self.generation) << 32 | u64::from(self.slot);
        // Systems with 32 bits get the slot alone. See `Readers::by_token`.
        Token(usize::try_from(packed).unwrap_or(self.slot as usize))
    }
}

/// Names a live group of a shard. A later group with the same index has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct GroupId {
    index: u32,
    generation: u32,
}

impl GroupId {
    pub(super) fn new(index: u32, generation: u32) -> GroupId {
        GroupId { index, generation }
    }

    /// Returns the index that the group has, or had.
    pub(super) fn index(self) -> usize {
        self.index as usize
    }
}

/// Converts an index. A shard has far fewer readers and groups than `u32::MAX`.
pub(super) fn to_u32(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
