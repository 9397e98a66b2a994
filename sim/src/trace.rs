//! The trace of a run: a hash over all actions and bytes, and on request their text.

use std::collections::VecDeque;
use std::fmt;

/// Hash and text of everything that happens in a run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    /// Number of actions.
    actions: u64,
    /// The newest lines; `None` if only the hash is needed.
    lines: Option<VecDeque<String>>,
    lines_max: usize,
}

impl Trace {
    /// Creates a trace that has only a hash.
    pub(crate) fn hash_only() -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, ..Trace::default() }
    }

    /// Creates a trace that also holds the text of the last `lines_max` actions.
    pub(crate) fn with_lines(lines_max: usize) -> Trace {
        Trace { lines: Some(VecDeque::new()), lines_max, ..Trace::hash_only() }
    }

    /// Adds an action. `name` and `numbers` are part of the hash; `text` is not.
    pub(crate) fn add(&mut self, name: &str, numbers: &[u64], text: impl FnOnce() -> String) {
        self.actions += 1;
        self.mix_bytes(name.as_bytes());
        for number in numbers {
            self.mix(*number);
        }
        let actions = self.actions;
        if let Some(lines) = &mut self.lines {
            if lines.len() == self.lines_max {
                lines.pop_front();
            }
            let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            lines.push_back(format!("{actions:6} {name} {} {}", numbers.join(" "), text()));
        }
    }

    /// Adds bytes that a client received.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        self.mix_bytes(bytes);
    }

    /// The hash of everything so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Number of actions so far.
    pub(crate) fn actions(&self) -> u64 {
        self.actions
    }

    fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().flatten().try_for_each(|line| writeln!(f, "{line}"))
    }
}
