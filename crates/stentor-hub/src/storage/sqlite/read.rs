//! The reading half of a log: queries, each in one read transaction.

pub(super) mod matching;
pub(super) mod merge;
pub(super) mod page;
pub(super) mod removed;
pub(super) mod scan_filter;
pub(super) mod seek;
pub(super) mod snapshot;
pub(super) mod topics;
pub(super) mod trim_point;
