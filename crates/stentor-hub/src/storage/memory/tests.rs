//! The contract, and what only a bounded ring does.

use super::*;

crate::conformance_tests!(|| async { MemoryStorage::new() });
