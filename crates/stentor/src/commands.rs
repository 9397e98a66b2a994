//! One module per command.

pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod connection;
pub(crate) mod demo;
pub(crate) mod log;
pub(crate) mod man;
pub(crate) mod publish;
pub(crate) mod recording;
pub(crate) mod serve;
pub(crate) mod status;
pub(crate) mod subscribe;
