//! What the tools see of a log, and make of it.

mod backup;
mod import;
mod info;
mod verify;

use std::path::Path;

use crate::storage::sqlite::{SqliteLog, VerifyNote};

/// What is found wrong with a log.
pub(super) fn findings(dir: &Path) -> Vec<String> {
    let mut said = Vec::new();
    let mut tell = |note| {
        if let VerifyNote::Finding(finding) = note {
            said.push(finding.to_string());
        }
    };
    let count = SqliteLog::open(dir).unwrap().verify(&mut tell).unwrap();
    assert_eq!(count, said.len() as u64);
    said
}
