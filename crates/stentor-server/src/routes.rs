//! The routes of the HTTP interface, one file for each.

pub(crate) mod batch;
pub(crate) mod console;
pub(crate) mod delete;
pub(crate) mod fast_publish;
pub(crate) mod health;
pub(crate) mod publish;
pub(crate) mod read;
pub(crate) mod topics;
mod upload;
