//! Errors that occurred during a run, counted by their text.

use serde::Serialize;

use crate::format::count;

/// Maximum number of different texts. Further ones are counted together.
const KINDS_MAX: usize = 32;
/// Maximum number of characters of a text.
const CHARACTERS_MAX: usize = 300;

#[derive(Clone, Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Problem {
    pub(crate) what: String,
    pub(crate) count: u64,
}

impl Problems {
    pub(crate) fn add(&mut self, what: &str) {
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

    pub(crate) fn list(&self) -> &[Problem] {
        &self.0
    }

    /// The end of an error text: `: 7 × 404 Not Found`. Empty if there are no problems.
    pub(crate) fn in_words(&self) -> String {
        let list: Vec<String> = self
            .0
            .iter()
            .map(|problem| format!("{} × {}", count(problem.count), problem.what))
            .collect();
        if list.is_empty() { String::new() } else { format!(": {}", list.join("; ")) }
    }
}
