//! The reading half of a log: queries, in steps that are each one read transaction.

pub(super) mod fetch;
pub(super) mod forgotten;
pub(super) mod losses;
pub(super) mod merge;
pub(super) mod newest;
pub(super) mod newest_each;
pub(super) mod page;
pub(super) mod scan_filter;
pub(super) mod seek;
pub(super) mod snapshot;
pub(super) mod states;
pub(super) mod step;
pub(super) mod topic_walk;
pub(super) mod topics;
pub(super) mod trim_point;
