//! Checks and their findings.

/// A check.
#[derive(Debug)]
pub(super) struct Check {
    /// Name for programs; it does not change.
    pub(super) name: &'static str,
    /// The expected behavior.
    pub(super) title: &'static str,
    /// The reason why it matters.
    pub(super) why: &'static str,
    /// Advice for a failed check.
    pub(super) fix: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Pass,
    /// It works, but not everywhere, or not well.
    Warning,
    Fail,
    NotObservable,
}

/// Maximum number of characters of an observation: the server controls parts of it.
const SAW_CHARACTERS_MAX: usize = 400;

/// The outcome of a check, and the observation.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub(super) check: &'static Check,
    pub(super) outcome: Outcome,
    pub(super) saw: String,
}

impl Check {
    pub(super) fn pass(&'static self, saw: impl Into<String>) -> Finding {
        self.finding(Outcome::Pass, saw)
    }

    pub(super) fn warn(&'static self, saw: impl Into<String>) -> Finding {
        self.finding(Outcome::Warning, saw)
    }

    pub(super) fn fail(&'static self, saw: impl Into<String>) -> Finding {
        self.finding(Outcome::Fail, saw)
    }

    /// `because` gives the reason, and how to make it observable.
    pub(super) fn not_observable(&'static self, because: impl Into<String>) -> Finding {
        self.finding(Outcome::NotObservable, because)
    }

    fn finding(&'static self, outcome: Outcome, saw: impl Into<String>) -> Finding {
        let mut saw = saw.into();
        if let Some((end, _)) = saw.char_indices().nth(SAW_CHARACTERS_MAX) {
            saw.truncate(end);
            saw.push('…');
        }
        Finding { check: self, outcome, saw }
    }
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Warning => "warning",
            Outcome::Fail => "fail",
            Outcome::NotObservable => "not observable",
        }
    }
}

/// Adds a finding "not observable", with this reason, for each check without a finding.
pub(super) fn complete(
    mut findings: Vec<Finding>,
    checks: &[&'static Check],
    because: &str,
) -> Vec<Finding> {
    for check in checks {
        if !findings.iter().any(|finding| finding.check.name == check.name) {
            findings.push(check.not_observable(because));
        }
    }
    findings
}
