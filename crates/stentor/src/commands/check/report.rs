//! What is said in the end.

use serde_json::{Value, json};

use super::finding::{Check, Finding, Outcome};
use super::{cors, end, flow, format, http2, publishing, response, resume, timing};
use crate::output::{escaped, use_color};

/// All checks, in the order of a report.
const THEMES: [(&str, &[&[&Check]]); 5] = [
    ("The answer", &[response::CHECKS]),
    ("On the way", &[timing::CHECKS, flow::CHECKS]),
    ("The stream", &[format::CHECKS, publishing::CHECKS]),
    ("Coming back", &[resume::CHECKS, end::CHECKS]),
    ("Browsers", &[cors::CHECKS, http2::CHECKS]),
];

/// A finding for each check.
#[derive(Debug)]
pub(super) struct Report {
    url: String,
    themes: Vec<(&'static str, Vec<Finding>)>,
}

impl Report {
    /// Checks without a finding are not observable, for this reason.
    pub(super) fn new(url: &str, findings: &[Finding], because: &str) -> Report {
        let find = |check: &'static Check| {
            let finding = findings.iter().find(|finding| finding.check.name == check.name);
            finding.cloned().unwrap_or_else(|| check.not_observable(because))
        };
        let themes = THEMES.map(|(title, checks)| {
            (title, checks.iter().copied().flatten().map(|check| find(check)).collect())
        });
        Report { url: url.to_owned(), themes: themes.into() }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.count(Outcome::Fail) > 0
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.themes.iter().flat_map(|(_, findings)| findings)
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.findings().filter(|finding| finding.outcome == outcome).count()
    }

    /// One object, whose names do not change.
    pub(super) fn json(&self) -> Value {
        let checks = self.themes.iter().flat_map(|(theme, findings)| {
            findings.iter().map(move |finding| {
                json!({
                    "name": finding.check.name,
                    "theme": theme,
                    "title": finding.check.title,
                    "outcome": finding.outcome.as_str(),
                    "saw": finding.saw,
                    "why": finding.check.why,
                    "mend": finding.check.mend,
                })
            })
        });
        json!({
            "url": self.url,
            "passed": self.count(Outcome::Pass),
            "warned": self.count(Outcome::Warning),
            "failed": self.count(Outcome::Fail),
            "not_observable": self.count(Outcome::NotObservable),
            "checks": checks.collect::<Vec<_>>(),
        })
    }

    /// For people, line by line. What is wanted, why, and how to mend it are told of what did
    /// not pass, or of everything.
    pub(super) fn lines(&self, explains_all: bool, paint: Paint) -> Vec<String> {
        let mut lines = vec![escaped(&self.url)];
        for (theme, findings) in &self.themes {
            lines.extend([String::new(), paint.bold(theme)]);
            for finding in findings {
                lines.push(line(finding, paint));
                let is_fault = matches!(finding.outcome, Outcome::Warning | Outcome::Fail);
                if is_fault || explains_all {
                    lines.extend(paragraph("want", finding.check.title));
                    lines.extend(paragraph("why", finding.check.why));
                    lines.extend(paragraph("mend", finding.check.mend));
                }
            }
        }
        let count = |outcome| self.count(outcome);
        let sum = format!(
            "{} passed, {} warned, {} failed, {} not observable",
            count(Outcome::Pass),
            count(Outcome::Warning),
            count(Outcome::Fail),
            count(Outcome::NotObservable),
        );
        lines.extend([String::new(), sum]);
        lines
    }
}

fn line(finding: &Finding, paint: Paint) -> String {
    let (mark, name) = (paint.mark(finding.outcome), finding.check.name);
    format!("  {mark}  {name:<18}{}", escaped(&finding.saw))
}

/// A text under its heading, in lines that fit.
fn paragraph(heading: &str, text: &str) -> Vec<String> {
    const WIDTH: usize = 72;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + word.len() < WIDTH => line.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    let headings = std::iter::once(heading).chain(std::iter::repeat(""));
    headings.zip(lines).map(|(heading, line)| format!("        {heading:<6}{line}")).collect()
}

/// Colours, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    is_on: bool,
}

impl Paint {
    /// On a terminal whose owner does not object.
    pub(super) fn of_stdout() -> Paint {
        Paint { is_on: use_color(&std::io::stdout()) }
    }

    fn mark(self, outcome: Outcome) -> String {
        let (mark, colour) = match outcome {
            Outcome::Pass => ("pass", "32"),
            Outcome::Warning => ("warn", "33"),
            Outcome::Fail => ("FAIL", "1;31"),
            Outcome::NotObservable => ("  - ", "2"),
        };
        self.paint(mark, colour)
    }

    fn bold(self, text: &str) -> String {
        self.paint(text, "1")
    }

    fn paint(self, text: &str, colour: &str) -> String {
        if self.is_on { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
