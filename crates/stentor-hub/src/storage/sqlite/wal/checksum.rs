//! The checksum of the write-ahead log: two sums over 32-bit words, of which each one adds the other.

/// Byte order of the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    /// Byte order of this machine.
    pub(super) const NATIVE: Order =
        if cfg!(target_endian = "big") { Order::Big } else { Order::Little };
}

/// A running checksum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Checksum(u32, u32);

impl Checksum {
    pub(super) fn new(first: u32, second: u32) -> Checksum {
        Checksum(first, second)
    }

    /// Continues the checksum with bytes, in pairs of words.
    pub(super) fn with(self, order: Order, bytes: &[u8]) -> Checksum {
        let word = |bytes: [u8; 4]| match order {
            Order::Little => u32::from_le_bytes(bytes),
            Order::Big => u32::from_be_bytes(bytes),
        };
        let (pairs, _) = bytes.as_chunks::<8>();
        let Checksum(mut first, mut second) = self;
        for &[a, b, c, d, e, f, g, h] in pairs {
            first = first.wrapping_add(word([a, b, c, d])).wrapping_add(second);
            second = second.wrapping_add(word([e, f, g, h])).wrapping_add(first);
        }
        Checksum(first, second)
    }

    /// Returns the number of the word in which a flipped bit explains that `stored` is not this checksum, or `None`.
    /// Both cover the same `words` words.
    pub(super) fn flipped_word(self, stored: Checksum, words: usize) -> Option<usize> {
        let wanted = (stored.0.wrapping_sub(self.0), stored.1.wrapping_sub(self.1));
        // The effect of 1 in the first and in the second word of a pair, beginning with the last pair.
        let mut effects = [(1_u32, 1_u32), (0, 1)];
        for pair in (0..words / 2).rev() {
            for (word, (first, second)) in effects.into_iter().enumerate() {
                let explains = |bit: u32| {
                    let plus = (first.wrapping_mul(bit), second.wrapping_mul(bit));
                    plus == wanted || (plus.0.wrapping_neg(), plus.1.wrapping_neg()) == wanted
                };
                if (0..u32::BITS).any(|bit| explains(1 << bit)) {
                    return Some(2 * pair + word);
                }
            }
            effects = effects.map(|(first, second)| {
                let first = first.wrapping_add(second);
                (first, second.wrapping_add(first))
            });
        }
        None
    }
}
