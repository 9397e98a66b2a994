//! The report: all findings, for people or as JSON.

use serde_json::{Value, json};

use super::finding::{Check, Finding, Outcome};
use super::{cors, end, flow, format, http2, publishing, response, resume, timing};
use crate::output::{escaped, use_color};

/// All checks by theme, in the order of the report.
const THEMES: [(&str, &[&[&Check]]); 5] = [
    ("Response", &[response::CHECKS]),
    ("Path", &[timing::CHECKS, flow::CHECKS]),
    ("Stream", &[format::CHECKS, publishing::CHECKS]),
    ("Reconnecting", &[resume::CHECKS, end::CHECKS]),
    ("Browsers", &[cors::CHECKS, http2::CHECKS]),
];

/// One finding per check.
#[derive(Debug)]
pub(super) struct Report {
    url: String,
    themes: Vec<(&'static str, Vec<Finding>)>,
}

impl Report {
    /// Returns a report. Checks without a finding are not observable, for this reason.
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

    /// Returns the report as one object. Its names do not change.
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
                    "fix": finding.check.fix,
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

    /// Returns the lines of the report for people. Warnings and failures are explained, or with
    /// `explains_all` every check.
    pub(super) fn lines(&self, explains_all: bool, style: Style) -> Vec<String> {
        let mut lines = vec![escaped(&self.url)];
        for (theme, findings) in &self.themes {
            lines.extend([String::new(), style.bold(theme)]);
            for finding in findings {
                lines.push(line(finding, style));
                let is_fault = matches!(finding.outcome, Outcome::Warning | Outcome::Fail);
                if is_fault || explains_all {
                    lines.extend(paragraph("want", finding.check.title));
                    lines.extend(paragraph("why", finding.check.why));
                    lines.extend(paragraph("fix", finding.check.fix));
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

fn line(finding: &Finding, style: Style) -> String {
    let (mark, name) = (style.mark(finding.outcome), finding.check.name);
    format!("  {mark}  {name:<18}{}", escaped(&finding.saw))
}

/// Wraps a text, with its heading before the first line.
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

/// The style of the report: with or without colors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    has_color: bool,
}

impl Style {
    /// Colors on a terminal, unless `NO_COLOR` is set.
    pub(super) fn of_stdout() -> Style {
        Style { has_color: use_color(&std::io::stdout()) }
    }

    fn mark(self, outcome: Outcome) -> String {
        let (mark, color) = match outcome {
            Outcome::Pass => ("pass", "32"),
            Outcome::Warning => ("warn", "33"),
            Outcome::Fail => ("FAIL", "1;31"),
            Outcome::NotObservable => ("  - ", "2"),
        };
        self.paint(mark, color)
    }

    fn bold(self, text: &str) -> String {
        self.paint(text, "1")
    }

    fn paint(self, text: &str, color: &str) -> String {
        if self.has_color { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
