//! Tests of the tools of `stentor log`.

mod backup;
mod import;
mod info;
mod set_time;
mod verify;

use std::path::Path;

use crate::storage::sqlite::{SqliteLog, VerifyNote};

/// Verifies a log and returns the findings.
pub(super) fn findings(dir: &Path) -> Vec<String> {
    let mut findings = Vec::new();
    let mut notify = |note| {
        if let VerifyNote::Finding(finding) = note {
            findings.push(finding.to_string());
        }
    };
    let count = SqliteLog::open(dir).unwrap().verify(&mut notify).unwrap();
    assert_eq!(count, findings.len() as u64);
    findings
}
