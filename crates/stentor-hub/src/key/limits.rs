//! Bounds of the idempotency keys that a log remembers.

use std::time::Duration;

/// Bounds of the idempotency keys that a log remembers.
///
/// A key is remembered for its whole window. At a bound, a publish with a new key is refused as
/// [`PublishError::TooManyKeys`](crate::PublishError::TooManyKeys), until older keys expire. Repeats are still
/// recognized, and publishes without a key are not affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// Maximum number of keys.
    pub keys: u64,
    /// Maximum number of keys of one publisher address ([`KeySource`](crate::KeySource)); `None` for no bound.
    pub keys_per_address: Option<u64>,
    /// Maximum number of part hashes of all uploads. An address gets the share of them that it gets of the keys. At
    /// the bound, a new upload with a key is refused. An upload that goes on drops the hashes of its own oldest parts.
    pub parts: u64,
}

impl KeyLimits {
    /// Default maximum number of keys of a log in memory. They take about 40 MiB.
    pub const MEMORY_KEYS: u64 = 100_000;
    /// Default maximum number of keys of a log on disk. They take about 160 MB of the file.
    pub const SQLITE_KEYS: u64 = 1_000_000;
    /// Maximum number of part hashes of a log in memory. They take 8 MiB.
    pub const MEMORY_PARTS: u64 = 1 << 20;
    /// Maximum number of part hashes of a log on disk. They take about 40 MB of the file.
    pub const SQLITE_PARTS: u64 = 2_000_000;
    /// By default, one address may use up to 1/`ADDRESS_SHARE` of the keys. A single backend, or a proxy before all
    /// publishers, is common, so its share is large; the rest stays for others.
    pub const ADDRESS_SHARE: u64 = 2;

    /// The default bounds of a log in memory.
    pub const fn memory() -> KeyLimits {
        KeyLimits::new(Self::MEMORY_KEYS, Self::MEMORY_PARTS)
    }

    /// The default bounds of a log on disk.
    pub const fn sqlite() -> KeyLimits {
        KeyLimits::new(Self::SQLITE_KEYS, Self::SQLITE_PARTS)
    }

    /// These bounds with another number of keys, and the default share of one address.
    #[must_use]
    pub const fn with_keys(self, keys: u64) -> KeyLimits {
        KeyLimits::new(keys, self.parts)
    }

    const fn new(keys: u64, parts: u64) -> KeyLimits {
        let share = keys.div_ceil(Self::ADDRESS_SHARE);
        KeyLimits { keys, keys_per_address: Some(share), parts }
    }

    /// Maximum number of part hashes of one address.
    fn parts_per_address(&self) -> Option<u64> {
        let keys = u128::from(self.keys_per_address?);
        let parts = u128::from(self.parts) * keys / u128::from(self.keys.max(1));
        Some(u64::try_from(parts).unwrap_or(u64::MAX))
    }

    /// Returns the bound that refuses a new key, given the counts of the log and of the publisher's address.
    pub(crate) fn refusal(&self, log: KeyCount, address: Option<KeyCount>) -> Option<KeyBound> {
        if log.keys >= self.keys {
            return Some(KeyBound { limit: self.keys, of_address: false });
        }
        let limit = self.keys_per_address?;
        (address?.keys >= limit).then_some(KeyBound { limit, of_address: true })
    }

    /// Returns the bound that refuses another part hash, given the counts of the log and of the publisher's address.
    pub(crate) fn refusal_of_part(
        &self,
        log: KeyCount,
        address: Option<KeyCount>,
    ) -> Option<KeyBound> {
        if log.parts >= self.parts {
            return Some(KeyBound { limit: self.parts, of_address: false });
        }
        let limit = self.parts_per_address()?;
        (address?.parts >= limit).then_some(KeyBound { limit, of_address: true })
    }
}

/// A number of keys, and of part hashes of uploads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeyCount {
    pub(crate) keys: u64,
    pub(crate) parts: u64,
}

/// A bound that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyBound {
    pub(crate) limit: u64,
    pub(crate) of_address: bool,
}

/// The reason why a publish with a new key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyKeys {
    /// The bound that was reached, of keys or of the part hashes of uploads.
    pub limit: u64,
    /// `true` for the bound of one address, `false` for the bound of the log.
    pub of_address: bool,
    /// Time until the next key expires, at the earliest.
    pub retry_after: Duration,
}

impl KeyBound {
    /// The refusal of a publish while the next key expires after `retry_after`, at the earliest.
    pub(crate) fn refuse(self, retry_after: Duration) -> TooManyKeys {
        TooManyKeys { limit: self.limit, of_address: self.of_address, retry_after }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(keys: u64, parts: u64) -> KeyCount {
        KeyCount { keys, parts }
    }

    #[test]
    fn one_address_never_uses_up_the_keys_of_all() {
        let limits = KeyLimits { keys: 10, keys_per_address: Some(4), parts: 100 };
        let refusal = |log, address| limits.refusal(count(log, 0), address);
        assert_eq!(refusal(9, Some(count(3, 0))), None);
        let bound = |limit, of_address| Some(KeyBound { limit, of_address });
        assert_eq!(refusal(4, Some(count(4, 0))), bound(4, true));
        assert_eq!(refusal(9, None), None, "no address is known");
        assert_eq!(refusal(10, None), bound(10, false));
        let refusal = |log, address| limits.refusal_of_part(count(0, log), address);
        assert_eq!(refusal(40, Some(count(0, 39))), None);
        assert_eq!(refusal(40, Some(count(0, 40))), bound(40, true));
        assert_eq!(refusal(100, None), bound(100, false));
    }

    #[test]
    fn the_bound_of_an_address_can_be_off() {
        let limits = KeyLimits { keys: 10, keys_per_address: None, parts: 100 };
        assert_eq!(limits.refusal(count(9, 0), Some(count(9, 0))), None);
        assert_eq!(limits.refusal_of_part(count(9, 99), Some(count(9, 99))), None);
    }
}
