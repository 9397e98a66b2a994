//! The rates of faults of one run.

use fastrand::Rng;

/// Chances in percent, of each step of a storage operation and of each action of a client.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// A write is completed at once.
    pub(crate) instant_write: u8,
    /// A query is completed at once.
    pub(crate) instant_query: u8,
    /// The log never waits, so that publishes take the path of a log in memory.
    pub(crate) in_memory: bool,
    /// An operation fails before it has an effect.
    pub(crate) fail: u8,
    /// An operation is held for seconds or minutes.
    pub(crate) hang: u8,
    /// A write succeeds, and its caller gets an error.
    pub(crate) lose_answer: u8,
    /// The log fails permanently.
    pub(crate) break_log: u8,
}

impl Faults {
    /// No faults and no delays.
    pub(crate) fn none() -> Faults {
        Faults {
            instant_write: 100,
            instant_query: 100,
            in_memory: false,
            fail: 0,
            hang: 0,
            lose_answer: 0,
            break_log: 0,
        }
    }

    /// The rates of one run: most runs have few kinds of faults, so that each kind has room to show its effects.
    pub(crate) fn random(rng: &mut Rng) -> Faults {
        let mut rate = |most: u8| if rng.bool() { rng.u8(1..=most) } else { 0 };
        let (instant_write, instant_query) = (rate(100), rate(100));
        let (fail, hang, lose_answer) = (rate(15), rate(3), rate(15));
        let break_log = u8::from(rate(2) == 2);
        let in_memory = rng.u8(0..4) == 0;
        Faults { instant_write, instant_query, in_memory, fail, hang, lose_answer, break_log }
    }
}
