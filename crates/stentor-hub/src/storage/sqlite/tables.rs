//! The rows of each table: how they are read and written.

pub(super) mod burned;
pub(super) mod column;
pub(super) mod forgotten;
pub(super) mod key;
pub(super) mod lease;
pub(super) mod log;
pub(super) mod purged;
pub(super) mod record;
pub(super) mod sum;
pub(super) mod topic;
pub(super) mod upload_part;
