//! One file for each command.

pub(crate) mod check;
pub(crate) mod demo;
pub(crate) mod log;
pub(crate) mod publish;
pub(crate) mod serve;
pub(crate) mod subscribe;
