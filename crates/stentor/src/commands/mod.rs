//! One file for each command.

pub(crate) mod bench;
pub(crate) mod demo;
pub(crate) mod log;
pub(crate) mod publish;
pub(crate) mod serve;
pub(crate) mod subscribe;
