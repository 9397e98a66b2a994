//! What went wrong, in words, and how often.

use serde::Serialize;

/// How many kinds are told apart.
const KINDS_MAX: usize = 32;
/// The most characters of one.
const CHARACTERS_MAX: usize = 300;

#[derive(Clone, Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

#[derive(Clone, Debug, Serialize)]
pub(super) struct Problem {
    pub(super) what: String,
    pub(super) count: u64,
}

impl Problems {
    pub(super) fn add(&mut self, what: &str) {
        let what: String = what.chars().take(CHARACTERS_MAX).collect();
        if let Some(known) = self.0.iter_mut().find(|problem| problem.what == what) {
            known.count += 1;
        } else if self.0.len() < KINDS_MAX {
            self.0.push(Problem { what, count: 1 });
        } else if let Some(last) = self.0.last_mut() {
            "other problems".clone_into(&mut last.what);
            last.count += 1;
        }
    }

    pub(super) fn into_list(self) -> Vec<Problem> {
        self.0
    }
}
