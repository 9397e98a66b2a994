//! One file for each thing that a request may ask for.

pub(crate) mod batch;
pub(crate) mod console;
pub(crate) mod delete;
pub(crate) mod event;
pub(crate) mod health;
pub(crate) mod publish;
pub(crate) mod read;
pub(crate) mod topics;
mod upload;
