//! One file for each command.

pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod log;
pub(crate) mod man;
pub(crate) mod publish;
pub(crate) mod recording;
pub(crate) mod serve;
pub(crate) mod server;
pub(crate) mod subscribe;
pub(crate) mod telling;
