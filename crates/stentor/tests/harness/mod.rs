//! Runs the `stentor` binary: a server as a process, and commands.

#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

mod command;
mod server;

pub use stentor_testing::*;

pub use self::command::{Output, RunningCommand, StentorCommand, stentor};
pub use self::server::Server;
