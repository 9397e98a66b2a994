//! The address of a publisher, as a hash.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::cursor::Epoch;

/// The address of a publisher as a hash, to count the idempotency keys of one address.
///
/// An IPv4 address counts as a whole, an IPv6 address by its first 64 bits, because a host or a site has that many. The
/// hash includes the epoch of the log, so that it differs between logs. A program that reads the file of the log
/// can still try all addresses: it is a hash, not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeySource(u64);

impl KeySource {
    /// The hash of a publisher's address in the log with this epoch.
    pub fn new(epoch: Epoch, address: IpAddr) -> KeySource {
        let mut hash = Sha256::new();
        hash.update(epoch.get().to_le_bytes());
        match address.to_canonical() {
            IpAddr::V4(address) => hash.update(address.octets()),
            IpAddr::V6(address) => hash.update(address.octets().split_at(8).0),
        }
        let bytes = hash.finalize();
        KeySource(bytes.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    /// The source with this hash.
    pub const fn from_hash(hash: u64) -> KeySource {
        KeySource(hash)
    }

    /// The hash.
    pub const fn hash(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(epoch: u64, address: &str) -> KeySource {
        KeySource::new(Epoch::new(epoch), address.parse().unwrap())
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        assert_eq!(source(1, "2001:db8:0:1::1"), source(1, "2001:db8:0:1:ffff::2"));
        assert_ne!(source(1, "2001:db8:0:1::1"), source(1, "2001:db8:0:2::1"));
    }

    #[test]
    fn an_ipv4_address_counts_as_a_whole_in_both_notations() {
        assert_ne!(source(1, "192.0.2.1"), source(1, "192.0.2.2"));
        assert_eq!(source(1, "192.0.2.1"), source(1, "::ffff:192.0.2.1"));
    }

    #[test]
    fn the_hash_of_an_address_differs_between_logs() {
        assert_ne!(source(1, "192.0.2.1"), source(2, "192.0.2.1"));
    }
}
