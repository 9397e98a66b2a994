//! What a check is, and what came of it.

/// One thing that is looked at.
#[derive(Debug)]
pub(super) struct Check {
    /// Its name, which programs rely on.
    pub(super) name: &'static str,
    /// What is so when it passes.
    pub(super) title: &'static str,
    /// Why it matters.
    pub(super) why: &'static str,
    /// What to do when it is not so.
    pub(super) mend: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Pass,
    /// It works, but not everywhere or not well.
    Warning,
    Fail,
    NotObservable,
}

/// The most that is told of what was seen: some of it is as long as a server likes.
const SAW_CHARACTERS_MAX: usize = 400;

/// What came of a check, and what was seen.
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

    /// `because` says why, and what would make it observable.
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

/// The findings, and for each of the checks without one that it is not observable, for this reason.
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
